import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { CountersignError } from '../../errors.js';
import type { ExportPlace } from '../../report/scheduled-exports.js';
import { isThere, writeWhole } from './folder.js';
import { openS3, type S3Location } from './s3.js';

const DAY = 86_400_000;

type Place = ({ readonly folder: string } | S3Location) & {
  readonly lock?: { readonly mode: 'governance' | 'compliance'; readonly days: number };
};

export function openExportPlace(to: Place): Promise<ExportPlace> {
  return 'folder' in to ? Promise.resolve(folderPlace(to.folder)) : bucketPlace(to);
}

function folderPlace(root: string): ExportPlace {
  return {
    where: root,
    has: (name) => isThere(root, name),
    put: (name, content) =>
      writeWhole(root, name, async (file) => {
        // They name people: for their owner, and whoever that one's group is made of.
        await file.chmod(0o640);
        await file.writeFile('file' in content ? createReadStream(content.file) : content.text);
      }),
  };
}

async function bucketPlace({ lock, ...location }: S3Location & Place): Promise<ExportPlace> {
  const { sdk, where, key, send } = await openS3(location);
  const Bucket = location.bucket;
  return {
    where,
    has: async (name) => (await send(new sdk.HeadObjectCommand({ Bucket, Key: key(name) }))) !== undefined,
    async put(name, content) {
      const text = 'text' in content ? Buffer.from(content.text) : undefined;
      const length = text?.length ?? (await stat((content as { file: string }).file)).size;
      // A store takes an object under a lock only with a digest of it.
      const md5 = createHash('md5');
      if (text) md5.update(text);
      else for await (const chunk of createReadStream((content as { file: string }).file)) md5.update(chunk as Buffer);
      const put = new sdk.PutObjectCommand({
        Bucket,
        Key: key(name),
        Body: text ?? createReadStream((content as { file: string }).file),
        ContentLength: length,
        ContentMD5: md5.digest('base64'),
        ContentType: 'application/octet-stream',
        ...(lock && {
          ObjectLockMode: lock.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
          ObjectLockRetainUntilDate: new Date(Date.now() + lock.days * DAY),
        }),
      });
      if (!(await send(put))) throw new CountersignError('mirror-unavailable', `${where} did not take ${name}`, { retry: true }); // prettier-ignore
    },
  };
}
