// WebSockets on every runtime, and why one would not open.

import { LobsterMailError } from "./errors.js";
import { type EventFrame, type MailEvent, eventOf } from "./events.js";
import type { HttpClient } from "./http.js";

export const OPEN = 1;

/** The service sends a ping every 30 seconds; who hears nothing for so long has lost it. */
export const SILENCE = 75_000;

/** Events that wait to be asked for. Beyond these the socket is given up, and comes again from the last one. */
const MOST_WAITING = 1_000;

/** The runtime's own, or that of "ws" on Node before 22. */
export async function webSocket(): Promise<typeof WebSocket> {
  if (typeof globalThis.WebSocket !== "undefined") return globalThis.WebSocket;
  return (await import("ws")).default as unknown as typeof WebSocket;
}

/** What a question about events is narrowed to. */
export interface Narrowing {
  after?: string;
  types?: readonly string[];
  inboxId?: string;
}

export function socketUrl(baseUrl: string, token: string, { after, types, inboxId }: Narrowing): string {
  const params = new URLSearchParams({ token });
  if (after) params.set("after", after);
  if (types?.length) params.set("types", types.join(","));
  if (inboxId) params.set("inbox", inboxId);
  return `${baseUrl.replace(/^http/, "ws")}/v1/ws?${params.toString()}`;
}

/** Runtimes do not say with which status a socket was refused: the same question over HTTP does. */
export async function reasonOf(
  http: HttpClient,
  { after, types, inboxId }: Narrowing,
  signal?: AbortSignal,
): Promise<unknown> {
  const query = { after, types: types?.join(","), inbox: inboxId, timeout: 0, limit: 1 };
  return http.get("/v1/events", { query, maxRetries: 0, signal }).then(
    () => new LobsterMailError("the connection was lost", "disconnected"),
    (error: unknown) => error,
  );
}

export function frameOf(data: unknown): { type?: string } | undefined {
  try {
    return JSON.parse(typeof data === "string" ? data : String(data));
  } catch {
    return undefined;
  }
}

/** The events of one connection, until it ends; throws if it was refused. */
export async function* listen(
  http: HttpClient,
  token: string,
  narrowing: Narrowing,
  signal?: AbortSignal,
): AsyncGenerator<MailEvent, void, undefined> {
  const Socket = await webSocket();
  const waiting: MailEvent[] = [];
  let isWelcome = false;
  let isOver = false;
  let wake = () => {};
  const socket = new Socket(socketUrl(http.getBaseUrl(), token, narrowing));
  const end = () => {
    isOver = true;
    wake();
  };
  const giveUp = () => {
    end();
    socket.close();
  };
  let watch = setTimeout(giveUp, SILENCE);
  socket.onclose = end;
  socket.onerror = end;
  socket.onmessage = (message: { data: unknown }) => {
    clearTimeout(watch);
    if (isOver) return;
    watch = setTimeout(giveUp, SILENCE);
    const frame = frameOf(message.data);
    if (frame?.type === "authenticated") isWelcome = true;
    if (frame?.type === "ping") socket.send('{"type":"pong"}');
    if (frame?.type !== "event") return;
    waiting.push(eventOf(frame as EventFrame));
    if (waiting.length >= MOST_WAITING) giveUp();
    wake();
  };
  signal?.addEventListener("abort", giveUp);
  try {
    while (waiting.length > 0 || !isOver) {
      const event = waiting.shift();
      if (event) yield event;
      else await new Promise<void>((resolve) => ((wake = resolve), isOver && resolve()));
    }
  } finally {
    clearTimeout(watch);
    signal?.removeEventListener("abort", giveUp);
    if (!isOver) giveUp();
  }
  if (!isWelcome && !signal?.aborted) throw await reasonOf(http, narrowing, signal);
}
