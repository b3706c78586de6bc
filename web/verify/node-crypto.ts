// In a browser, this takes the place of node:crypto where the code that reads canonical JSON asks for it.
import { toHex, sha256, utf8 } from './crypto.js';

export const hash = (_algorithm: 'sha256', text: string, _encoding: 'hex'): string => toHex(sha256(utf8(text)));
