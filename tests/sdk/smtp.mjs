// A client that speaks just enough SMTP (RFC 5321) to hand over one mail, octet for octet.

import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { createInterface } from "node:readline";

const TIMEOUT_MS = 30_000;

/** Hands a mail over, and returns the last reply: that to the end of data, or the first refusal. */
export async function deliver(server, from, to, content) {
  const [host, port] = server.split(/:(?=\d+$)/);
  const socket = connect({ host, port: Number(port) });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("the SMTP server is silent")));
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  socket.on("error", () => {}); // The iterator ends, and `reply` says so.

  const reply = async () => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error("the SMTP server closed the connection");
      if (value[3] !== "-") return value;
    }
  };
  const command = async (line) => {
    socket.write(`${line}\r\n`);
    return reply();
  };

  try {
    await reply();
    for (const line of ["EHLO journey.example", `MAIL FROM:<${from}>`, `RCPT TO:<${to}>`, "DATA"]) {
      const answer = await command(line);
      if (Number(answer.slice(0, 3)) >= 400) return answer;
    }
    return await command(`${content.replace(/^\./gm, "..").replace(/\r\n$/, "")}\r\n.`);
  } finally {
    socket.end("QUIT\r\n");
  }
}

/** A mail of one text and, if given, one attachment. */
export function mail({ from = "Sarah <sarah@example.com>", to, subject, text, attachment }) {
  const head = [
    `From: ${from}`,
    `To: <${to}>`,
    `Subject: ${subject}`,
    `Message-ID: <${randomUUID()}@example.com>`,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    "MIME-Version: 1.0",
  ];
  const part = ["Content-Type: text/plain; charset=utf-8", "", text];
  if (!attachment) return [...head, ...part, ""].join("\r\n");
  const octets = attachment.octets.toString("base64").match(/.{1,76}/g);
  return [
    ...head,
    'Content-Type: multipart/mixed; boundary="journey"',
    "",
    "--journey",
    ...part,
    "--journey",
    `Content-Type: ${attachment.contentType}`,
    `Content-Disposition: attachment; filename="${attachment.filename}"`,
    "Content-Transfer-Encoding: base64",
    "",
    ...octets,
    "--journey--",
    "",
  ].join("\r\n");
}
