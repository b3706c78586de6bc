import { editSettings } from './edit-settings.js';
import { environmentNamed, parseSettings, withTemplates } from './environments.js';

const text = `# Who may touch this: platform team
apiVersion: countersign.dev/v1
environments:
  - {name: shop/staging, path: environments/staging} # first
  - name: shop/production
    path: environments/production
    target: prod
  - {name: "teams/*", path: "teams/*"}
policies: {starter: {profile: strict}}
`;
const settings = withTemplates(parseSettings(text), [{ path: 'teams/a/x.yaml', type: 'blob' }]);
const production = environmentNamed(settings, 'shop/production');
const pin = { commit: 'a'.repeat(40), reason: 'INC-1: carts are lost' };

describe('holding an environment', () => {
  it('pins it, with comments and everything else as it was, and takes the pin out again', () => {
    const pinned = editSettings(text, production, { do: 'pin', pin });
    expect(environmentNamed(parseSettings(pinned), 'shop/production').pin).toEqual(pin);
    expect(pinned).toBe(
      text.replace(
        '    target: prod\n',
        `    target: prod\n    pin:\n      commit: ${pin.commit}\n      reason: "INC-1: carts are lost"\n`,
      ),
    );
    expect(editSettings(pinned, production, { do: 'unpin' })).toBe(text);
  });

  it('suspends it, and resumes it from all that holds it', () => {
    const suspended = editSettings(text, production, {
      do: 'suspend',
      suspend: { reason: 'x', until: '2026-12-01T00:00:00Z' },
    });
    const both = editSettings(suspended, production, { do: 'pin', pin });
    expect(environmentNamed(parseSettings(both), 'shop/production').reconcile?.suspend?.reason).toBe('x');
    expect(editSettings(both, production, { do: 'resume' })).toBe(text);
  });

  it('gives what only a template makes an entry of its own, with what the template says', () => {
    const team = environmentNamed(settings, 'teams/a');
    const edited = editSettings(text, team, { do: 'pin', pin });
    expect(environmentNamed(parseSettings(edited), 'teams/a')).toMatchObject({ path: 'teams/a', pin });
  });

  it('says that there is nothing to lift, and refuses what would be no settings', () => {
    expect(() => editSettings(text, production, { do: 'unpin' })).toThrow(/shop\/production is not held/);
    const wrong = { commit: 'main', reason: 'x' };
    expect(() => editSettings(text, production, { do: 'pin', pin: wrong })).toThrow(/must be a full commit id/);
  });
});
