-- Accounts of calls, see CallRow. A row is written when both talk and again at the end;
-- until then ended is 0. Times are Unix milliseconds.
CREATE TABLE calls (
	started         BIGINT NOT NULL,
	flow            TEXT NOT NULL,
	node            TEXT NOT NULL,
	direction       TEXT NOT NULL,
	jid             TEXT NOT NULL,
	aor             TEXT NOT NULL,
	sid             TEXT NOT NULL,
	call_id         TEXT NOT NULL,
	rang            BIGINT NOT NULL,
	answered        BIGINT NOT NULL,
	talked          BIGINT NOT NULL,
	ended           BIGINT NOT NULL,
	ended_by        TEXT NOT NULL,
	reason          TEXT NOT NULL,
	detail          TEXT NOT NULL,
	status          BIGINT NOT NULL,
	cause           BIGINT NOT NULL,
	xmpp_codec      TEXT NOT NULL,
	xmpp_protection TEXT NOT NULL,
	xmpp_received   BIGINT NOT NULL,
	xmpp_sent       BIGINT NOT NULL,
	xmpp_lost       BIGINT NOT NULL,
	xmpp_jitter     BIGINT NOT NULL,
	xmpp_mos        BIGINT NOT NULL,
	sip_codec       TEXT NOT NULL,
	sip_protection  TEXT NOT NULL,
	sip_received    BIGINT NOT NULL,
	sip_sent        BIGINT NOT NULL,
	sip_lost        BIGINT NOT NULL,
	sip_jitter      BIGINT NOT NULL,
	sip_mos         BIGINT NOT NULL,
	PRIMARY KEY (started, flow, node)
);
CREATE INDEX calls_jid ON calls (jid, started);
CREATE INDEX calls_aor ON calls (aor, started);
CREATE INDEX calls_open ON calls (node) WHERE ended = 0;
