// Checked, never run: by `deno check`, and by tsc with Bun's types. The surface as a program of each would use it.
import { Posthouse, type MailEvent, isEmailEvent, verifyWebhook } from "posthouse";

export async function program(request: Request, secret: string): Promise<string[]> {
  const client = await Posthouse.create({ baseUrl: "http://127.0.0.1:4801", fetch: globalThis.fetch });
  const inbox = await client.createInbox();
  const payload = await verifyWebhook({ secret, headers: request.headers, body: await request.text() });
  const seen: string[] = [payload.eventId];
  const stream = client.events({ after: "oldest", transport: "sse", signal: request.signal });
  for await (const event of stream) {
    if (isEmailEvent(event)) seen.push(event.data.subject, (await client.emailOf(event).safe()).rendering);
    const other: MailEvent = event;
    seen.push(other.cursor);
  }
  const { id } = await inbox.send({ to: "a@example.com", subject: "x", body: { text: "x" } });
  const { data } = await client.api.GET("/v1/emails/{emailId}", { params: { path: { emailId: id } } });
  return [...seen, data?.replyText ?? ""];
}
