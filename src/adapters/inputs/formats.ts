import { basename, extname } from 'node:path';

/** Conftest's names of the formats that are read here. */
const FORMATS = new Set([
  'codeowners', 'cyclonedx', 'dockerfile', 'dotenv', 'edn', 'groovy', 'hcl1', 'hcl2', 'hocon', 'ignore', 'ini', 'json',
  'jsonc', 'jsonnet', 'nginx', 'properties', 'spdx', 'toml', 'vcl', 'xml', 'yaml',
]); // prettier-ignore
/** Those of Conftest's that are not. */
const REFUSED = new Set(['cue', 'textproto']);
const TEXTPROTO = ['textproto', 'textpb'];

export function isRead(format: string): boolean {
  return FORMATS.has(format);
}

export function isRefused(format: string): boolean {
  return REFUSED.has(format);
}

/** The format Conftest takes a file for, by its name, or undefined (parser/parser.go, NewFromPath). */
export function formatOf(path: string): string | undefined {
  if (path === '-') return 'yaml';
  const name = basename(path).toLowerCase();
  // Go takes the last dot for an extension's even where the name begins with it.
  const dot = name.lastIndexOf('.');
  const extension = dot < 0 ? '' : extname(`x${name}`).slice(1);
  if (name === 'dockerfile' || name.startsWith('dockerfile.') || extension === 'dockerfile') return 'dockerfile';
  if (extension === 'yml' || extension === 'yaml') return 'yaml';
  if (extension === 'hcl' || extension === 'tf' || extension === 'tfvars') return 'hcl2';
  if (extension === 'gitignore' || extension === 'dockerignore') return 'ignore';
  if (name === '.env' || name.startsWith('.env.') || extension === 'env') return 'dotenv';
  if (name === 'nginx.conf') return 'nginx';
  if (name === 'jenkinsfile' || name.startsWith('jenkinsfile.')) return 'groovy';
  if (TEXTPROTO.includes(extension)) return 'textproto';
  if (name === 'codeowners') return 'codeowners';
  return FORMATS.has(extension) || REFUSED.has(extension) ? extension : undefined;
}
