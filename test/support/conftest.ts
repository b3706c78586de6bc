import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of Conftest itself, of the version whose parsers we build; built by its own module the first time (2 minutes). */
export function conftestProgram(): string {
  const build = fileURLToPath(new URL('build-cached.sh', import.meta.url));
  const folder = execFileSync(build, ['conftest', '--where'], { encoding: 'utf8' });
  return join(folder.trim(), 'conftest');
}
