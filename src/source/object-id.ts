/** A full object id of Git, SHA-1 or SHA-256. */
export const OBJECT_ID = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Git and the forges write zeros where there is nothing. */
export const idOrNull = (id: string): string | null => (/^0+$/.test(id) ? null : id);
