//! Which IP addresses are out in the world. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// False for what the special-purpose registries (RFC 6890) give to this machine, this network or
/// nobody.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        // "This network", carrier NAT (RFC 6598), protocol assignments, benchmarks (RFC 2544),
        // reserved and broadcast.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let [.., high, low] = segments;
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    match segments {
        // IPv4 in IPv6: mapped (RFC 4291), translated (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Documentation (RFC 3849, RFC 9637) and Teredo.
        [0x2001, 0xdb8 | 0, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All other unicast that is routed is in 2000::/3 (RFC 4291 section 2.4).
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], public: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().expect("address")), public, "{address}");
        }
    }

    #[test]
    fn the_world_is_public() {
        check(&["8.8.8.8", "100.128.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1"], true);
        check(&["2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"], true);
    }

    #[test]
    fn what_is_near_is_not() {
        check(&["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"], false);
        check(&["0.0.0.0", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"], false);
        check(&["::1", "::", "fe80::1", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1"], false);
        check(&["::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::1", "::127.0.0.1"], false);
    }
}
