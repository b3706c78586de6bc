import { writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { openPromise } from 'yauzl';
import { ZipFile } from 'yazl';

/** A zip's files in their order, by an implementation that judges nothing. */
export async function unzip(path: string): Promise<Map<string, Buffer>> {
  const zip = await openPromise(path, { lazyEntries: true, autoClose: false });
  const files = new Map<string, Buffer>();
  for await (const entry of zip.eachEntry())
    files.set(entry.fileName, await buffer(await zip.openReadStreamPromise(entry)));
  zip.close();
  return files;
}

export async function zip(path: string, files: Iterable<readonly [string, Buffer]>): Promise<void> {
  const writer = new ZipFile();
  for (const [name, bytes] of files) writer.addBuffer(bytes, name);
  writer.end();
  writeFileSync(path, await buffer(writer.outputStream));
}
