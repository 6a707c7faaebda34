import type { ContactRecord } from "@bimip/nats";

/** Where somebody is. */
export interface Position {
  readonly latitude: number;
  readonly longitude: number;
}

const METRES_PER_DEGREE = 111_320;
/** Towards the poles a degree of longitude shrinks to nothing; from here on it is taken as it is here. */
const MIN_COSINE = 0.01;

/**
 * The middle of the square, at least `precisionM` metres wide, that the position lies in: of all positions in it nobody can tell which
 * it was, however many are told.
 */
export function coarsened({ latitude, longitude }: Position, precisionM: number): Position {
  if (precisionM <= 0) return { latitude, longitude };
  const row = middle(latitude, 90, precisionM / METRES_PER_DEGREE);
  const cosine = Math.max(Math.cos((row * Math.PI) / 180), MIN_COSINE);
  return { latitude: row, longitude: middle(longitude, 180, precisionM / (METRES_PER_DEGREE * cosine)) };
}

/** From -limit to limit there are only whole squares, each at least `step` degrees wide: a cut one would tell more. */
function middle(degrees: number, limit: number, step: number): number {
  const count = Math.max(Math.floor((2 * limit) / step), 1);
  const width = (2 * limit) / count;
  const index = Math.min(Math.floor((degrees + limit) / width), count - 1);
  return (index + 0.5) * width - limit;
}

/** Users by how exactly they may know where the owner of the list is; whoever is not in it is the owner. */
export function byPrecision(
  to: Iterable<string>,
  list: ReadonlyMap<string, ContactRecord>,
): ReadonlyMap<number, string[]> {
  const groups = new Map<number, string[]>();
  for (const eid of to) {
    const precisionM = list.get(eid)?.precisionM ?? 0;
    const group = groups.get(precisionM);
    if (group === undefined) groups.set(precisionM, [eid]);
    else group.push(eid);
  }
  return groups;
}
