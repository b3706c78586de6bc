import { recordId } from './record-id.js';

test('an id of a record is a UUID of version 7, whose order is that of time', () => {
  const ids = Array.from({ length: 1_000 }, (_, i) => recordId(Date.UTC(2026, 0, 1) + i));
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(ids.toSorted()).toEqual(ids);
  expect(parseInt(recordId(1_763_750_000_000).replaceAll('-', '').slice(0, 12), 16)).toBe(1_763_750_000_000);
});

test('two ids of one moment differ', () => {
  expect(new Set(Array.from({ length: 1_000 }, () => recordId(0))).size).toBe(1_000);
});
