/** Where somebody is. */
export interface Position {
  readonly latitude: number;
  readonly longitude: number;
}

const METRES_PER_DEGREE = 111_320;
/** Towards the poles a degree of longitude shrinks to nothing; from here on it is taken as it is here. */
const MIN_COSINE = 0.01;

/**
 * The middle of the square, `precisionM` metres wide, that the position lies in: of all positions in it nobody can tell which
 * it was, however many are told.
 */
export function coarsened({ latitude, longitude }: Position, precisionM: number): Position {
  if (precisionM <= 0) return { latitude, longitude };
  const latitudeStep = Math.min(precisionM / METRES_PER_DEGREE, 180);
  const row = middle(latitude, latitudeStep, 90);
  const cosine = Math.max(Math.cos((row * Math.PI) / 180), MIN_COSINE);
  const longitudeStep = Math.min(precisionM / (METRES_PER_DEGREE * cosine), 360);
  return { latitude: row, longitude: middle(longitude, longitudeStep, 180) };
}

function middle(degrees: number, step: number, limit: number): number {
  const value = (Math.floor(degrees / step) + 0.5) * step;
  return Math.min(Math.max(value, -limit), limit);
}
