import { parseTilePath, widthAt } from './tiles.js';
import type { TileReader } from './tiles.js';

/** What a log needs to be served. */
export interface ServableLog {
  /** Entries that the newest released checkpoint covers. */
  size(): Promise<number>;
  readonly readTile: TileReader;
}

/**
 * The bytes of `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]` (C2SP tlog-tiles); undefined for a path that names no tile of
 * the released tree. What a checkpoint does not cover yet is never shown.
 */
export async function serveTile(log: ServableLog, path: string): Promise<Uint8Array | undefined> {
  const tile = parseTilePath(path);
  if (!tile || tile.width > widthAt(await log.size(), tile.level, tile.index)) return undefined;
  return log.readTile(tile);
}
