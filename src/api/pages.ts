import { createHash } from 'node:crypto';
import type { CountersignError } from '../errors.js';
import { type Authority, reachOf } from '../review/authority.js';

/** A page of the service's own: its text, and what it may load and do. */
export interface Page {
  readonly html: string;
  readonly policy: string;
}

const STYLE = `:root{color-scheme:light dark;--ink:light-dark(#1b1f24,#e6e8ea);--faint:light-dark(#5b6570,#9aa4ae);--line:light-dark(#cfd6dc,#3a424a);--paper:light-dark(#fff,#14181c);--link:light-dark(#0b57a4,#7db7f2);font:16px/1.5 system-ui,sans-serif}
body{margin:0;background:var(--paper);color:var(--ink)}
main{max-width:46rem;margin:0 auto;padding:2.5rem 1.25rem}
header p{margin:0;color:var(--faint)}header .name{font-weight:650;font-size:1.25rem;color:var(--ink)}
h1{font-size:1.75rem;line-height:1.2;margin:2rem 0 .35rem;overflow-wrap:anywhere}h2{font-size:1rem;margin:2rem 0 .35rem}
p{margin:.35rem 0}.faint{color:var(--faint)}
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:400;color:var(--faint)}
th,td{padding:.35rem 1rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
ul{margin:0;padding:0;list-style:none}li{padding:.35rem 0;border-bottom:1px solid var(--line)}a{color:var(--link)}
button,.button{display:inline-block;margin-top:1.5rem;padding:.55rem 1.6rem;font:inherit;font-weight:600;color:var(--paper);background:var(--ink);border:0;border-radius:6px;cursor:pointer;text-decoration:none}
button:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}`;

const SIGN_OUT = `document.querySelector('button').addEventListener('click',async(event)=>{
  const button=event.target;button.disabled=true;
  try{
    const {csrf}=await(await fetch('/session')).json();
    const answer=await fetch('/logout',{method:'POST',headers:{'x-countersign-csrf':csrf??''}});
    location.assign(answer.ok?(await answer.json()).to:'/');
  }catch{button.disabled=false;button.textContent='Sign out (the service did not answer: try again)'}
});`;

/** Who somebody is here, and what they may take from here; or where to sign in. */
export function whoPage(authority: Authority | null, mayCome: boolean): Page {
  if (!authority || (authority.anonymous && mayCome)) {
    const seen = authority ? '<p>Whoever is on this machine may look without signing in.</p>' : '';
    const way = mayCome
      ? '<p><a class="button" href="/login">Sign in</a></p>'
      : '<p>Programs and people send a token: <code>countersign login</code> keeps one.</p>';
    return page('Countersign', `<h1>You are not signed in</h1>${seen}${way}${VERIFY}`);
  }
  const { login, roles, expires, anonymous, session } = authority;
  const rows = roles.map(
    ({ role, repositories, environments }) =>
      `<tr><td>${text(role)}</td><td>${places(repositories)}</td><td>${places(environments)}</td></tr>`,
  );
  const until =
    expires === null ? '' : `<p class="faint">until ${text(expires.replace('T', ' ').slice(0, 16))} UTC</p>`;
  const body = `<h1>${anonymous ? 'Whoever is on this machine' : text(login)}</h1>${until}
<h2>Your roles</h2>
<table><thead><tr><th>role</th><th>repositories</th><th>environments</th></tr></thead><tbody>${rows.join('')}</tbody></table>
${reports(authority)}${VERIFY}${session === undefined ? '' : '<button type="button">Sign out</button>'}`;
  return page(anonymous ? 'Countersign' : `${login} – Countersign`, body, session === undefined ? '' : SIGN_OUT);
}

/** After the sign-in: on to where it was begun for. */
export function returningPage(to: string): Page {
  const head = `<meta http-equiv="refresh" content="0;url=${text(to)}">`;
  return page('Signed in – Countersign', `<h1>You are signed in</h1><p><a href="${text(to)}">Go on</a></p>`, '', head);
}

export function refusedPage({ message, remedy }: Pick<CountersignError, 'message' | 'remedy'>): Page {
  const what = remedy === undefined ? '' : `<p>${text(remedy)}.</p>`;
  const again = '<p><a class="button" href="/login">Sign in again</a></p>';
  return page('Not signed in – Countersign', `<h1>You are not signed in</h1><p>${text(message)}</p>${what}${again}`);
}

const VERIFY = `<h2>Evidence</h2><ul><li><a href="/verify">Check an evidence bundle</a> here in the browser; nothing of it is sent anywhere</li></ul>`;

/** Of the quarter before this one, which is what is asked for most. */
function reports(authority: Authority): string {
  if (!reachOf(authority, 'export')?.everywhere) return '';
  const { since, until, name } = lastQuarter(new Date());
  const period = `since=${since}&amp;until=${until}`;
  return `<h2>Reports on ${name}</h2><ul>
<li><a href="/reports/management.pdf?${period}">Change-management report</a> as PDF</li>
<li><a href="/reports/changes.csv?${period}">Every change</a> as CSV, <a href="/reports/changes.jsonl?${period}">as JSON Lines</a></li></ul>
<p class="faint">Each is logged with who took it. Other periods: <code>countersign report</code>.</p>`;
}

function lastQuarter(now: Date): { readonly since: string; readonly until: string; readonly name: string } {
  const [year, quarter] = [now.getUTCFullYear(), Math.floor(now.getUTCMonth() / 3)];
  const at = (q: number): string => new Date(Date.UTC(year, q * 3, 1)).toISOString().slice(0, 10);
  const since = at(quarter - 1);
  return { since, until: at(quarter), name: `${since.slice(0, 4)} Q${((quarter + 3) % 4) + 1}` };
}

const places = (globs: readonly string[]): string =>
  globs.length === 1 && globs[0] === '*' ? 'all' : text(globs.join(', '));

function page(title: string, body: string, script = '', head = ''): Page {
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${text(title)}</title>${head}<link rel="icon" href="data:,"><style>${STYLE}</style></head>
<body><main><header><p class="name">Countersign</p><p>GitOps with a countersignature</p></header>${body}</main>${script === '' ? '' : `<script>${script}</script>`}</body></html>
`;
  const scripts = script === '' ? '' : ` script-src '${hashOf(script)}'; connect-src 'self';`;
  const policy = `default-src 'none'; img-src data:; style-src '${hashOf(STYLE)}';${scripts} base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  return { html, policy };
}

const hashOf = (source: string): string => `sha256-${createHash('sha256').update(source).digest('base64')}`;

/** Anybody's text, as text. */
function text(raw: string): string {
  return raw.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
