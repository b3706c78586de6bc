import type { MigrationInterface, QueryRunner } from 'typeorm';

const lists = ['signers', 'approvers', 'tickets', 'teams', 'controls'] as const;

/**
 * What auditors look for a decision by (src/review/decision-terms.ts). Of decisions that are there already it is read from their rows, but
 * for the owners of what they touch, which only their inputs tell.
 */
export class DecisionTerms1763740000210 implements MigrationInterface {
  readonly name = 'DecisionTerms1763740000210';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE decision ADD COLUMN self_approved boolean NOT NULL DEFAULT false,
      ${lists.map((list) => `ADD COLUMN ${list} jsonb NOT NULL DEFAULT '[]'`).join(', ')}`);
    const commits = `FROM jsonb_array_elements_text(change.commits) AS made (id)
      JOIN commit ON commit.repository = change.repository AND commit.id = made.id`;
    const verified = `commit.signature ->> 'status' = 'verified'`;
    const person = `coalesce(commit.signature ->> 'person', commit.signature ->> 'principal')`;
    await runner.query(`UPDATE decision SET
        signers = (SELECT coalesce(jsonb_agg(DISTINCT ${person}), '[]') ${commits} WHERE ${verified} AND ${person} IS NOT NULL),
        tickets = (SELECT coalesce(jsonb_agg(DISTINCT trim(ticket.value[1])), '[]') ${commits},
          regexp_matches(commit.message, '^ticket[ \\t]*:[ \\t]*(.+?)[ \\t\\r]*$', 'gin') AS ticket (value)),
        approvers = (SELECT coalesce(jsonb_agg(DISTINCT coalesce(person, principal)), '[]') FROM approval
          WHERE decision.approvals ? approval.id AND coalesce(person, principal) IS NOT NULL),
        controls = (SELECT coalesce(jsonb_agg(DISTINCT control), '[]')
          FROM jsonb_array_elements(violations || warnings || required || excepted) AS said, jsonb_array_elements_text(said -> 'controls') AS control)
      FROM change WHERE change.id = decision.change`);
    await runner.query(`UPDATE decision SET self_approved = true FROM change WHERE change.id = decision.change AND EXISTS (
      SELECT 1 ${commits} JOIN approval ON decision.approvals ? approval.id
      WHERE approval.person IN (commit.signature ->> 'person', commit.signature ->> 'principal')
        OR approval.principal IN (commit.signature ->> 'person', commit.signature ->> 'principal')
        OR (NOT ${verified} AND commit.author ->> 'email' IN (approval.person, approval.principal)))`);
    for (const list of lists)
      await runner.query(`CREATE INDEX decision_by_${list} ON decision USING gin (${list} jsonb_path_ops)`);
    await runner.query('CREATE INDEX decision_self_approved ON decision (time DESC, id) WHERE self_approved');
    await runner.query(
      `CREATE INDEX decision_unapproved ON decision (time DESC, id) WHERE approvers = '[]' AND outcome = 'allow'`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `ALTER TABLE decision DROP COLUMN self_approved, ${lists.map((list) => `DROP COLUMN ${list}`).join(', ')}`,
    );
  }
}
