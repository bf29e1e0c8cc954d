//! A network as configuration names it: `192.0.2.0/24`, or one address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::Deserialize;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0:?} is no network: write 192.0.2.0/24, 2001:db8::/32, or one address")]
pub struct InvalidNetwork(String);

impl Network {
    pub(crate) const LOOPBACK_V4: Network =
        Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    pub(crate) const LOOPBACK_V6: Network =
        Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };

    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && masked(self.address, self.prefix) == masked(address, self.prefix)
    }
}

/// The address with what follows the prefix zero.
pub(crate) fn masked(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V4((it.to_bits() & mask).into())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V6((it.to_bits() & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| invalid())?,
            None => longest,
        };
        if prefix > longest {
            return Err(invalid());
        }
        Ok(Network { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Network, InvalidNetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: &str, address: &str, expected: bool) {
        let network: Network = network.parse().expect("network");
        let address: IpAddr = address.parse().expect("address");
        assert_eq!(network.contains(address), expected, "{network} {address}");
    }

    #[test]
    fn contains_what_begins_alike() {
        check("127.0.0.0/8", "127.9.9.9", true);
        check("127.0.0.0/8", "128.0.0.1", false);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.6", false);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("0.0.0.0/0", "203.0.113.1", true);
        check("::/0", "203.0.113.1", false);
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "x", "192.0.2.0/33", "::1/129", "192.0.2.0/", "192.0.2.0/-1"] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork(text.to_owned())));
        }
    }
}
