// Where tokens come from, and where a new one is kept.

/** Node's modules where there are any: Deno and Bun have them, browsers and workers do not. */
async function node() {
  if (typeof process === "undefined" || !process.versions?.node) return undefined;
  const [fs, os, path] = await Promise.all([
    import("node:fs/promises"),
    import("node:os"),
    import("node:path"),
  ]);
  return { fs, folder: path.join(os.homedir(), ".lobstermail"), path };
}

/** A variable of the environment, where there is one. */
export function variable(name: string): string | undefined {
  return typeof process === "undefined" ? undefined : process.env?.[name] || undefined;
}

/** The explicit one, that of the environment, or that which was kept. */
export async function resolveToken(explicit?: string): Promise<string | undefined> {
  const token = explicit || variable("POSTHOUSE_TOKEN") || variable("LOBSTERMAIL_TOKEN");
  if (token) return token;
  const system = await node();
  if (!system) return undefined;
  const kept = await system.fs.readFile(system.path.join(system.folder, "token"), "utf8").catch(() => "");
  return kept.trim() || undefined;
}

/** Keeps it in `~/.lobstermail/token`, readable by its owner only. */
export async function saveToken(token: string): Promise<void> {
  const system = await node();
  if (!system) return;
  await system.fs.mkdir(system.folder, { recursive: true, mode: 0o700 });
  await system.fs.writeFile(system.path.join(system.folder, "token"), token, { mode: 0o600 });
}
