PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE approvals (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR NOT NULL, 
	workspace_id VARCHAR NOT NULL, 
	task_id VARCHAR NOT NULL, 
	key_id VARCHAR, 
	action VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	context VARCHAR, 
	status VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	expires FLOAT NOT NULL, 
	decided_by VARCHAR, 
	decided_at VARCHAR, 
	verified BOOLEAN NOT NULL, 
	claimed_by VARCHAR, 
	comment VARCHAR, 
	used_by VARCHAR, 
	used_at VARCHAR, 
	UNIQUE (workspace_id, key_id), 
	UNIQUE (id)
);
INSERT INTO "approvals" VALUES(1,'a1','w','the task',NULL,'deploy','',NULL,'approved','2026-01-01T00:00:00.000000Z',4000000000.0,NULL,NULL,0,NULL,NULL,NULL,NULL);
INSERT INTO "approvals" VALUES(2,'a2','w','the task',NULL,'deploy','',NULL,'pending','2026-01-01T00:00:00.000000Z',4000000000.0,NULL,NULL,0,NULL,NULL,NULL,NULL);
CREATE TABLE approvers (
	name VARCHAR NOT NULL, 
	token_hash VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	PRIMARY KEY (name), 
	UNIQUE (token_hash)
);
INSERT INTO "approvers" VALUES('alice','hash of alice','2026-01-01T00:00:00.000000Z');
CREATE TABLE journal (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	approval_id VARCHAR NOT NULL, 
	recorded_at VARCHAR NOT NULL, 
	journaled BOOLEAN NOT NULL, 
	UNIQUE (approval_id)
);
INSERT INTO "journal" VALUES(1,'a1','2026-01-01T00:00:00.000000Z',1);
CREATE TABLE sign_in_codes (
	code_hash VARCHAR NOT NULL, 
	token_hash VARCHAR NOT NULL, 
	made FLOAT NOT NULL, 
	PRIMARY KEY (code_hash)
);
CREATE TABLE workspaces (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	token_hash VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (token_hash)
);
INSERT INTO "workspaces" VALUES('w','own','hash of w','2026-01-01T00:00:00.000000Z');
CREATE INDEX approvals_due ON approvals (expires) WHERE status IN ('pending', 'escalated');
CREATE INDEX approvals_of_workspace ON approvals (workspace_id, number);
CREATE INDEX approvals_open ON approvals (workspace_id) WHERE status IN ('pending', 'escalated');
CREATE INDEX journal_waiting ON journal (number) WHERE journaled = 0;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('approvals',2);
INSERT INTO "sqlite_sequence" VALUES('journal',1);
COMMIT;
