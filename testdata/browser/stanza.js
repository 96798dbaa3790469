// The entry point of the bundle that .ci/browser makes.
globalThis.stanza = require('stanza');
