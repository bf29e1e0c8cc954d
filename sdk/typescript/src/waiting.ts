// Pauses that can be called off.

/** Full jitter: somewhere between nothing and the doubled delay, so that clients do not come back at once. */
export function backoff(attempt: number, base: number, most: number): number {
  return Math.random() * Math.min(most, base * 2 ** Math.min(attempt, 30));
}

/** Ends early, with the signal's reason as the error, when it is called off. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
