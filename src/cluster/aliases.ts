import { type Event, EVENT_ID } from 'js-yaml';
import { CountersignError } from '../errors.js';
import { lineCounter } from './positions.js';

interface Extent {
  /** Bytes of text that the node stands for once its aliases are written out. */
  bytes: number;
  /** Levels below the node. */
  depth: number;
  open: boolean;
}

/**
 * Refuses aliases that contain themselves and those that stand for far more than the file holds, before any value is made of
 * them: in memory an alias is a shared reference and costs nothing, the canonical text of it does ("billion laughs").
 */
export function guardAliases(
  events: readonly Event[],
  text: string,
  path: string,
  limits: { readonly bytes: number; readonly depth: number },
): void {
  if (!text.includes('*') || !events.some((event) => event.type === EVENT_ID.ALIAS)) return;
  let anchors = new Map<string, Extent>();
  let stack: Extent[] = [];
  const grow = (bytes: number, depth: number) => {
    const parent = stack.at(-1);
    if (!parent) return;
    parent.bytes += bytes;
    parent.depth = Math.max(parent.depth, depth + 1);
  };
  for (const event of events) {
    if (event.type === EVENT_ID.DOCUMENT) {
      anchors = new Map();
      stack = [{ bytes: 0, depth: 0, open: true }];
    } else if (event.type === EVENT_ID.POP) {
      const extent = stack.pop()!;
      extent.open = false;
      grow(extent.bytes, extent.depth);
    } else if (event.type === EVENT_ID.ALIAS) {
      const extent = anchors.get(text.slice(event.anchorStart, event.anchorEnd));
      if (!extent) continue; // the constructor names it, with its place
      const line = () => lineCounter(text)(event.anchorStart);
      if (extent.open) throw refused(path, line(), 'an alias stands inside the node it names, so it has no end');
      grow(extent.bytes, extent.depth);
      if (stack.at(-1)!.bytes > limits.bytes) {
        throw refused(path, line(), `written out, the aliases of this file need more than ${limits.bytes} bytes`);
      }
      if (stack.length + extent.depth > limits.depth + 1) {
        throw new CountersignError(
          'manifest-too-deep',
          `with its aliases, YAML is nested more than ${limits.depth} levels deep`,
          {
            place: { file: path, line: line() },
            remedy: 'Flatten it',
          },
        );
      }
    } else {
      const scalar = event.type === EVENT_ID.SCALAR;
      const extent = { bytes: scalar ? event.valueEnd - event.valueStart + 1 : 2, depth: 0, open: !scalar };
      if (event.anchorStart >= 0) anchors.set(text.slice(event.anchorStart, event.anchorEnd), extent);
      if (scalar) grow(extent.bytes, 0);
      else stack.push(extent);
    }
  }
}

function refused(file: string, line: number, message: string): CountersignError {
  return new CountersignError('manifest-aliases', message, { place: { file, line }, remedy: 'Write the values out' });
}
