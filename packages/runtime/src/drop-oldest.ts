/** Takes away what has stood longest in the map; nothing where it is empty. */
export function dropOldest<K>(map: Map<K, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
