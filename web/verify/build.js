// One file that needs nothing else: an auditor can keep it, and open it without a server. Usage: node build.js OUT.html
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
/** What of the service's code is another in a browser, and what is not loaded there. */
const seam = {
  name: 'seam',
  setup: ({ onResolve }) => {
    onResolve({ filter: /^node:crypto$/ }, () => ({ path: here('node-crypto.ts') }));
    onResolve({ filter: /\/crypto\.js$/ }, ({ importer }) =>
      importer.includes('/web/') ? undefined : { path: here('crypto.ts') },
    );
    onResolve({ filter: /\/replay\.js$/ }, ({ path }) => ({ path, external: true }));
  },
};
const { outputFiles } = await build({
  entryPoints: [here('page.ts')],
  bundle: true,
  write: false,
  minify: true,
  format: 'iife',
  platform: 'browser',
  target: 'es2023',
  plugins: [seam],
});
const script = outputFiles[0].text.replaceAll('</script', '<\\/script');
const style = readFileSync(here('page.css'), 'utf8');
const hashOf = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
// Whatever is in the bundle, this page can load nothing, send nothing and run nothing but itself.
const policy = `default-src 'none'; script-src ${hashOf(script)}; style-src ${hashOf(style)}; form-action 'none'; base-uri 'none'`;
const page = readFileSync(here('page.html'), 'utf8')
  .replace('{{policy}}', () => policy)
  .replace('<style></style>', () => `<style>${style}</style>`)
  .replace('<script></script>', () => `<script>${script}</script>`);
mkdirSync(dirname(process.argv[2]), { recursive: true });
writeFileSync(process.argv[2], page);
