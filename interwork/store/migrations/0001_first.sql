-- Identities: one row holds everything of one person. A removed one stays as an empty row
-- (removed = 1) so that other processes learn of the removal by its version.
CREATE TABLE identities (
	id             TEXT PRIMARY KEY NOT NULL,
	version        BIGINT NOT NULL,
	removed        SMALLINT NOT NULL,
	jid            TEXT NOT NULL,
	aors           TEXT NOT NULL,
	numbers        TEXT NOT NULL,
	name           TEXT NOT NULL,
	trunk          TEXT NOT NULL,
	call_out       SMALLINT NOT NULL,
	call_in        SMALLINT NOT NULL,
	show_caller_id SMALLINT NOT NULL,
	credentials    TEXT NOT NULL
);
CREATE INDEX identities_version ON identities (version);

-- The guard of uniqueness: no address has two owners.
CREATE TABLE identity_addresses (
	address  TEXT PRIMARY KEY NOT NULL,
	identity TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE
);
CREATE INDEX identity_addresses_identity ON identity_addresses (identity);

CREATE TABLE bindings (
	aor        TEXT NOT NULL,
	id         TEXT NOT NULL,
	node       TEXT NOT NULL,
	contact    TEXT NOT NULL,
	path       TEXT NOT NULL,
	instance   TEXT NOT NULL,
	reg_id     BIGINT NOT NULL,
	q          BIGINT NOT NULL,
	call_id    TEXT NOT NULL,
	cseq       BIGINT NOT NULL,
	user_agent TEXT NOT NULL,
	transport  TEXT NOT NULL,
	source     TEXT NOT NULL,
	updated    BIGINT NOT NULL,
	expires    BIGINT NOT NULL,
	PRIMARY KEY (aor, id)
);

-- The outbox: a row is what one commit appended, up to 256 entries (see outbox.go).
CREATE TABLE outbox (
	node    TEXT NOT NULL,
	first   BIGINT NOT NULL,
	span    BIGINT NOT NULL,
	stored  BIGINT NOT NULL,
	entries BYTEA NOT NULL,
	PRIMARY KEY (node, first)
);

-- What has changed in an outbox row since: entries done, attempts.
CREATE TABLE outbox_state (
	node  TEXT NOT NULL,
	first BIGINT NOT NULL,
	state BYTEA NOT NULL,
	PRIMARY KEY (node, first)
);

-- Keys of requests and stanzas already taken, and what receipts need; a row is what one
-- commit noted (see keylog.go).
CREATE TABLE duplicates (
	node    TEXT NOT NULL,
	id      BIGINT NOT NULL,
	entries BYTEA NOT NULL,
	PRIMARY KEY (node, id)
);

CREATE TABLE receipts (
	node    TEXT NOT NULL,
	id      BIGINT NOT NULL,
	entries BYTEA NOT NULL,
	PRIMARY KEY (node, id)
);

CREATE TABLE counters (
	name  TEXT PRIMARY KEY NOT NULL,
	value BIGINT NOT NULL
);

CREATE TABLE meta (
	key   TEXT PRIMARY KEY NOT NULL,
	value TEXT NOT NULL
);
