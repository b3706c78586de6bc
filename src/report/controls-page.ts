import type { Catalogue, Control } from './controls.js';

const WORDS: Readonly<Record<Control['covered'], string>> = { answered: 'answered', partly: 'in part', open: 'open' };

/** One control as people read it in a terminal. */
export function controlText(control: Control, rules: readonly string[]): string {
  const { id, title, covered, evidence, like, answer, open } = control;
  return [
    `${id}  ${WORDS[covered]}`,
    `  ${title}`,
    ...row('answered', answer),
    ...row('evidence', evidence.join(', ')),
    ...row('like', like.join(', ')),
    ...row('rules', rules.join(', ')),
    ...row('not', open),
  ].join('\n');
}

const row = (name: string, text: string | null): string[] => (text ? [`  ${name.padEnd(10)}${text}`] : []);

const HEAD = `# Controls

Made by \`make docs\` from policies/controls and the rules' METADATA; not to be edited. What an auditor asks for, which evidence and which of the rules that ship
answer it, and what is left to you. Titles are in our own words. Evidence is a type of entry in the log, the log as a whole (\`log\`), or what is reported from it (\`report\`).

\`countersign policy controls\` lists them, \`countersign policy controls SOC2:CC8.1\` shows one with the rules that answer it, your own among them. Of a running service
\`{ controls(repository: "shop", id: "SOC2:CC8.1") { answer rules decisions(first: 5) { nodes { id } } } }\` tells that of the policy in force, and what those rules said.

## Your own

A file in \`.countersign/controls\` of a repository holds a catalogue of your own, for that repository; with the prefix of one of these it adds to that:

\`\`\`yaml
# .countersign/controls/acme.yaml
apiVersion: countersign.dev/v1
kind: ControlCatalogue
prefix: ACME
title: Rules of the house
controls:
  - id: CHG-7                        # rules name it as ACME:CHG-7
    title: Nothing goes live on the last day of a quarter
    covered: partly                  # answered, partly, or open
    evidence: [decision]             # a type of entry, log, or report
    like: ["SOC2:CC8.1"]             # what rules answer there, they answer here; may be left out
    answer: A rule denies it.        # unless it is open
    open: Systems that are not deployed from Git.   # unless it is answered
\`\`\`

\`countersign policy lint\` tells of controls that rules name and no catalogue has.`;

/** All catalogues as Markdown. */
export function controlsPage(catalogues: readonly Catalogue[], rules: ReadonlyMap<string, readonly string[]>): string {
  const sections = catalogues.map(({ title, prefix, controls }) => {
    const rows = controls.map((control) => {
      const cells = [
        control.id.slice(prefix.length + 1),
        control.title,
        WORDS[control.covered],
        control.answer ?? '',
        control.evidence.join(', '),
        (rules.get(control.id) ?? []).join(', '),
        control.open ?? '',
      ];
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    });
    const head = ['| control | asks that | here | answered by | evidence | [rules](rules.md) | not answered |', '|---|---|---|---|---|---|---|']; // prettier-ignore
    return ['', `## ${title} (\`${prefix}\`)`, '', ...head, ...rows].join('\n');
  });
  return `${[HEAD, ...sections].join('\n')}\n`;
}
