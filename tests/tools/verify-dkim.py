"""Verifies the DKIM signatures of the mail on stdin with dkimpy, asking the name server HOST PORT for the
keys. Prints a line for each signature: domain, selector, algorithm, and pass or fail."""

import sys

import dkim
import dns.resolver


def main(host, port):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [host]
    resolver.port = int(port)

    def texts(name, timeout=5):
        try:
            answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        except dns.resolver.NXDOMAIN:
            return None
        return b"".join(answer[0].strings)

    message = sys.stdin.buffer.read()
    fields = dkim.DKIM(message).headers
    count = sum(name.lower() == b"dkim-signature" for name, _ in fields)
    for index in range(count):
        verifier = dkim.DKIM(message)
        try:
            passed = verifier.verify(idx=index, dnsfunc=texts)
        except dkim.ValidationError:
            passed = False
        fields = {key.decode(): value.decode() for key, value in verifier.signature_fields.items()}
        print(fields["d"], fields["s"], fields["a"], "pass" if passed else "fail")


main(*sys.argv[1:])
