export default () => globalThis.countersignTeardown();
