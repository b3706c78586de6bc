import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { allowedSigners, ScratchRepository } from '../../adapters/git/scratch-repository.js';
import { makePerson, memberNames, type Member, type MemberName, type Team } from './people.js';
import { commonFiles, governanceFiles, image, serviceFiles, stages, type Service, type Stage } from './team-files.js';

/** The shop's repository on its "server", and the people who work with it. */
export interface TeamRepository {
  /** What the service follows. */
  readonly url: string;
  /** Its first commit: where trust in its governance starts. */
  readonly genesis: string;
  readonly team: Team;
}

const HOUR = 3_600_000;

/** Writes some days of a team's work: signed commits of three people, pushed from their clones, one merge. */
export async function makeTeamRepository(
  folder: string,
  namespaces: Readonly<Record<Stage, string>>,
): Promise<TeamRepository> {
  const server = join(folder, 'repository.git');
  const people = join(folder, 'people');
  await ScratchRepository.create(server, { bare: true });
  const url = pathToFileURL(server).href;
  const persons = await Promise.all(memberNames.map((name) => makePerson(people, name)));
  const members = await Promise.all(
    persons.map(async (person, i): Promise<[MemberName, Member]> => {
      const clone = await ScratchRepository.clone(url, join(people, memberNames[i], 'shop'));
      // So that whoever looks around in a kept folder can go on as this person.
      const settings = { 'user.name': person.name, 'user.email': person.email, 'user.signingKey': person.keyFile };
      const signers = join(clone.path, '.countersign', 'allowed_signers');
      for (const [key, value] of Object.entries({
        ...settings,
        'gpg.ssh.allowedSignersFile': signers,
        'gpg.format': 'ssh',
        'commit.gpgSign': 'true',
      })) {
        await clone.git('config', key, value);
      }
      await clone.git('checkout', '--quiet', '-B', 'main');
      return [memberNames[i], { ...person, clone }];
    }),
  );
  const team = Object.fromEntries(members) as unknown as Team;

  let hours = 75;
  const work = async (member: Member, message: string, files: Record<string, string>): Promise<string> => {
    await pull(member);
    const date = new Date(Date.now() - (hours -= 8) * HOUR).toISOString();
    const id = await member.clone.commit({ author: member, message, files, date });
    await member.clone.push('origin', 'HEAD:main');
    return id;
  };
  const { ann, bo, carol } = team;
  const genesis = await work(ann, 'Govern this repository', governanceFiles(allowedSigners(persons), namespaces));
  const common = stages.flatMap((stage) => Object.entries(commonFiles(stage, namespaces[stage])));
  await work(ann, 'Namespaces, network and access', Object.fromEntries(common));
  await work(bo, 'Add cart', add('cart'));
  await work(carol, 'Add payment', add('payment'));

  // Bo and Carol at the same time: a branch, merged by Ann.
  await pull(bo);
  await bo.clone.checkout('catalog', 'main');
  await bo.clone.commit({ author: bo, message: 'Add catalog', files: add('catalog'), date: ago(18) });
  await bo.clone.push('origin', 'catalog');
  await bo.clone.checkout('main');
  await work(carol, 'Add web', add('web'));
  await pull(ann);
  await ann.clone.merge('origin/catalog', { author: ann, message: 'Merge catalog', date: ago(2) });
  await ann.clone.push('origin', 'HEAD:main', ':catalog');
  return { url, genesis, team };
}

/** A new service in both environments, at its first version. */
const add = (service: Service): Record<string, string> => ({
  ...serviceFiles('staging', service, { image: image(service, '1.1'), replicas: 1 }),
  ...serviceFiles('production', service, { image: image(service, '1.0'), replicas: 2 }),
});

const ago = (hours: number): string => new Date(Date.now() - hours * HOUR).toISOString();

async function pull({ clone }: Member): Promise<void> {
  await clone.git('fetch', '--quiet', '--prune', 'origin');
  const tips = await clone.git('for-each-ref', 'refs/remotes/origin/main');
  if (tips !== '') await clone.rewind('origin/main');
}
