import { placeOf } from './rendered-place.js';

const template = `{{- if .Values.on }}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "shop.fullname" . }}
  labels:
    name: other
---
apiVersion: v1
kind: Service
metadata:
  labels: {a: b}
  name: "{{ include "shop.fullname" . }}-headless"
---
{{- range .Values.more }}
apiVersion: v1
kind: Service
metadata:
  name: {{ .prefix }}-more-{{ .name }}
---
{{- end }}
apiVersion: v1
kind: Service
metadata: {name: fixed, labels: {}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
{{- end }}
`;
const rendered = (name: string, kind = 'Service') => ({
  text: `apiVersion: v1\nkind: ${kind}\nmetadata:\n  name: ${name}\n`,
  file: 'templates/all.yaml',
});
const line = (name: string, kind?: string): number | undefined =>
  placeOf(rendered(name, kind), {
    files: new Map([['templates/all.yaml', Buffer.from(template)]]),
    inputs: new Map(),
    closure: { resources: new Set(), generated: [] },
  })?.line;

describe('where a template makes an object', () => {
  it('is the document of its kind; of several the one whose name fits best', () => {
    expect(line('x', 'ConfigMap')).toBe(27);
    expect(line('prod-shop-headless')).toBe(10);
    expect(line('prod-shop')).toBe(3);
    expect(line('a-more-b')).toBe(17);
    expect(line('fixed')).toBe(23);
  });

  it('is the first line where nothing tells', () => {
    expect(line('x', 'Deployment')).toBe(1);
    expect(
      placeOf(rendered('b'), {
        files: new Map([['templates/all.yaml', Buffer.from('kind: Service\n---\nkind: Service\n')]]),
        inputs: new Map(),
        closure: { resources: new Set(), generated: [] },
      })?.line,
    ).toBe(1);
  });
});
