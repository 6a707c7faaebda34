import { Device } from "../kit/device.js";
import { percentiles } from "../bench/percentiles.js";

export interface Logins {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  /** Those that were refused, or cut off. */
  readonly failed: number;
}

/**
 * One login after the other: how many milliseconds from the first packet until RESUME's end, when the device has all that it missed.
 *
 * @param token of the n-th, each of a device of its own
 * @param ca who is trusted with wss, PEM
 */
export async function measureLogins(
  url: string,
  options: { readonly count: number; readonly token: (n: number) => Promise<string>; readonly ca?: string | undefined },
): Promise<Logins> {
  const { count, token, ca } = options;
  const taken: number[] = [];
  let failed = 0;
  for (let n = 0; n < count; n++) {
    const given = await token(n);
    const startedMs = performance.now();
    try {
      const device = await Device.open(url, { token: given, ...(ca !== undefined && { ca }) });
      taken.push(performance.now() - startedMs);
      await device.close();
    } catch {
      failed++;
    }
  }
  const { p50, p95 } = percentiles(taken);
  return { p50, p95, max: Math.max(0, ...taken), failed };
}
