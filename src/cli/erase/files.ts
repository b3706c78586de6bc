import { readFile } from 'node:fs/promises';
import { type ErasureStatement, parseErasure, refused } from '../../review/erasure.js';
import { Subject } from '../../review/subject.js';
import { CountersignError } from '../../errors.js';

export interface ErasureRequest {
  /** The bytes that are signed. */
  readonly text: string;
  readonly statement: ErasureStatement;
  readonly subject: Subject;
}

/** Beside the statement: whom it is about. */
export const subjectFile = (file: string): string => `${file}.subject`;

/** Reads both files of a request. Throws `erasure-refused`, `usage`. */
export async function readRequest(file: string): Promise<ErasureRequest> {
  const text = await readText(file);
  const statement = parseErasure(text);
  const { subject, salt } = readSubject(await readText(subjectFile(file)), subjectFile(file));
  if (!subject.isOf(statement.subject, salt)) throw refused(`${subjectFile(file)} is about somebody else than ${file}`);
  return { text, statement, subject };
}

function readSubject(text: string, file: string): { readonly subject: Subject; readonly salt: Uint8Array } {
  try {
    const { salt, terms } = JSON.parse(text) as { readonly salt: string; readonly terms: readonly string[] };
    return { subject: new Subject(terms), salt: Buffer.from(salt, 'hex') };
  } catch (cause) {
    throw new CountersignError('erasure-refused', 'this does not say whom it is about', { place: { file }, cause });
  }
}

export async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CountersignError('usage', `there is no file ${file}`, {
      remedy: 'Write it with countersign erase request',
      cause,
    });
  });
}
