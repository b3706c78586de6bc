import { refusalOf } from './refusal.js';

const map = { text: 'ConfigMap shop/settings' };
const status = (message: string, more: object = {}): string => JSON.stringify({ kind: 'Status', message, ...more });

describe('what an API server answers', () => {
  it.each([
    ['that it is too large for etcd', 500, 'etcdserver: request is too large', /1\.5 MB.*split it/],
    ['that it is too large on its way there', 500, 'rpc error: code = ResourceExhausted desc = trying to send message larger than max (2200000 vs. 2097152)', /split it/], // prettier-ignore
    ['that it is too large to be read', 413, 'Request entity too large: limit is 3145728', /split it/],
    ['that a field is of another type', 500, 'failed to create typed patch object (shop/settings; /v1, Kind=ConfigMap): .data: expected map, got &{5}', /Correct the manifest: a field/], // prettier-ignore
  ])('%s is the object’s fault, however it numbers it', (_, code, message, remedy) => {
    const refusal = refusalOf('prod', map, code, status(message));
    expect(refusal).toMatchObject({ code: 'cluster-refused', retry: false });
    expect(refusal.sentence).toContain(`cluster prod refused ConfigMap shop/settings (${code}): ${message}`);
    expect(refusal.remedy).toMatch(remedy);
  });

  it('of its own faults is tried again', () => {
    for (const code of [429, 500, 503, 504])
      expect(refusalOf('prod', map, code, status('leader changed'))).toMatchObject({ code: 'cluster-unavailable', retry: true }); // prettier-ignore
    expect(refusalOf('prod', map, 502, '<html>')).toMatchObject({ code: 'cluster-unavailable' });
  });

  it('is told with its reason, however much it quotes before that', () => {
    const quoted = `Invalid value: {"Spec":${JSON.stringify({ image: 'x'.repeat(5_000) })}}: field is immutable`;
    const message = `Job.batch "j" is invalid: [spec.template: ${quoted}, spec.other: Required value]`;
    const causes = [
      { reason: 'FieldValueInvalid', message: quoted, field: 'spec.template' },
      { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.other' },
    ];
    const { sentence } = refusalOf('prod', { text: 'Job shop/j' }, 422, status(message, { details: { causes } }));
    expect(sentence).toMatch(/refused Job shop\/j \(422\): Job\.batch "j" is invalid: spec\.template: Invalid value: \{"Spec".* … x+.*: field is immutable; spec\.other: Required value\./); // prettier-ignore
    expect(sentence.length).toBeLessThan(600);
    const long = refusalOf('prod', map, 422, status(`denied: ${'y'.repeat(5_000)} at the end`));
    expect(long.message).toMatch(/\(422\): denied: y+ … y+ at the end$/);
  });

  it('of a Secret is told by its fields alone', () => {
    const causes = [{ message: 'Invalid value: "hunter2"', field: 'data' }];
    const text = status('Secret "s" is invalid: data: Invalid value: "hunter2"', { reason: 'Invalid', details: { causes } }); // prettier-ignore
    const { message } = refusalOf('prod', { text: 'Secret shop/s', secret: true }, 422, text);
    expect(message).toBe('cluster prod refused Secret shop/s (422): Invalid in data');
  });
});
