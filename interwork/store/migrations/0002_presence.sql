-- Who may see whom: one row for a bare JID and an AOR, both directions. Rows without any
-- authorisation are not kept.
CREATE TABLE authorisations (
	jid         TEXT NOT NULL,
	aor         TEXT NOT NULL,
	watch       TEXT NOT NULL,
	watch_since BIGINT NOT NULL,
	watch_asked BIGINT NOT NULL,
	share       TEXT NOT NULL,
	share_since BIGINT NOT NULL,
	share_asked BIGINT NOT NULL,
	wanted      SMALLINT NOT NULL,
	owed        BIGINT NOT NULL,
	shown       TEXT NOT NULL,
	PRIMARY KEY (jid, aor)
);
CREATE INDEX authorisations_aor ON authorisations (aor);

-- Dialogs of SUBSCRIBE and NOTIFY, in both directions, and publications. They belong to
-- the node whose address the peer was given.
CREATE TABLE event_dialogs (
	node    TEXT NOT NULL,
	kind    TEXT NOT NULL,
	id      TEXT NOT NULL,
	jid     TEXT NOT NULL,
	aor     TEXT NOT NULL,
	record  BYTEA NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (node, kind, id)
);
