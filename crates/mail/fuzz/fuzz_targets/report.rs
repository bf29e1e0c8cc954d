//! Any octets are read as a report on mail that was sent (RFC 3464, RFC 5965, and what hosts say in their own
//! words), and what it says of recipients is classified.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    for read in [mail::report, mail::report_to_return_path] {
        let report = read(octets);
        assert_eq!(read(octets), report);
        let Some(report) = report else { continue };
        for recipient in &report.recipients {
            mail::classify(&recipient.status, &recipient.diagnostic);
            report.class(recipient);
        }
    }
});
