// A network that loses connections: passes octets on to the service, and cuts when it is told to.

import { createServer, connect } from "node:net";

/** `lifetime()` says after how many milliseconds each connection is cut; undefined for never. */
export async function proxy(target, lifetime = () => undefined) {
  const { hostname, port } = new URL(target);
  const open = new Set();
  let cuts = 0;
  let swallow = false;
  const server = createServer((client) => {
    const service = connect({ host: hostname, port: Number(port) });
    const cut = () => {
      client.destroy();
      service.destroy();
    };
    const milliseconds = lifetime();
    const timer = milliseconds === undefined ? undefined : setTimeout(() => { cuts += 1; cut(); }, milliseconds);
    open.add(cut);
    client.on("data", (octets) => service.write(octets));
    service.on("data", (octets) => {
      if (!swallow) return void client.write(octets);
      swallow = false;
      cuts += 1;
      cut();
    });
    for (const socket of [client, service]) {
      socket.on("error", cut);
      socket.on("close", () => {
        clearTimeout(timer);
        open.delete(cut);
        cut();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cuts: () => cuts,
    /** The next answer does not arrive. */
    swallowNext: () => { swallow = true; },
    cutAll: () => [...open].forEach((it) => { cuts += 1; it(); }),
    close: () => { server.close(); open.forEach((it) => it()); },
  };
}
