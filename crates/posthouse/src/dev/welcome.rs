use crate::dev::{Options, folder::Folder};

/// Where everything is, and ten lines to paste into a shell.
pub(crate) fn text(options: &Options, folder: &Folder) -> String {
    let Options { smtp, submission, submissions, api, nats, admin, domain, .. } = options;
    let data = folder.path().display();
    let captured = folder.captured();
    let captured = captured.display();
    format!(
        r#"
Posthouse is ready. Ctrl-C stops it, the next start goes on with the same data.

  SMTP      {smtp}, for addresses at {domain}
  Submit    {submission} (STARTTLS), {submissions} (TLS); log in with an inbox's address and a token
  API       http://{api}
  Console   http://{api}/console; sign in with a token, or one of `posthouse operator token`
  NATS      nats://{nats}; an agent's password is its token
  State     http://{admin}/readyz, http://{admin}/metrics
  Data      {data}
  Captured  {captured}: mail to all other domains

Try it in another shell: sign up, make an inbox, mail it, wait for the mail.

  api=http://{api}
  field() {{ sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }}
  token=$(curl -s -X POST $api/v1/signup | field token)
  inbox=$(curl -s -X POST $api/v1/inboxes -H "Authorization: Bearer $token" --json '{{}}')
  id=$(echo "$inbox" | field id); address=$(echo "$inbox" | field address)
  printf 'From: you@example.com\nTo: %s\nSubject: Hello\n\nGood morning.\n' $address |
    curl -s --crlf smtp://{smtp} --mail-from you@example.com --mail-rcpt $address -T -
  poll=$api/v1/inboxes/$id/emails/poll
  curl -s -H "Authorization: Bearer $token" "$poll?timeout=25&since=1970-01-01T00:00:00Z"

Or on NATS, with the `nats` tool and the same token:

  account=$(curl -s $api/v1/account -H "Authorization: Bearer $token" | field id)
  name=$account.$(printf %s $token | sha256sum | cut -c1-12)
  nats --server nats://{nats} --user agent --password $token --inbox-prefix _INBOX_$name \
    request mail.v1.api.$name.inboxes.list '{{}}'

Or with the SDK: npm install @lobsterkit/lobstermail, then
LobsterMail.create({{ baseUrl: "http://{api}", persistToken: false }}).
"#
    )
}
