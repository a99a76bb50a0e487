/**
 * The log and its counter, for a service's first migration.
 *
 * Revisions are handed out at the very end of a transaction, by a deferred trigger that the writer makes
 * immediate in the same message as COMMIT. The counter row is locked from then until the commit, which the
 * server does alone: no client can pause in between and hold up every other writer, and whoever gets the next
 * revision commits after it. A rolled-back transaction rolls its increments back, so there are no gaps.
 */
export const changeLogUp = `
  CREATE TABLE feed_head (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    incarnation uuid    NOT NULL DEFAULT gen_random_uuid(),
    revision    bigint  NOT NULL DEFAULT 0,
    -- Changes up to and including this revision have been trimmed.
    tail        bigint  NOT NULL DEFAULT 0
  );
  INSERT INTO feed_head DEFAULT VALUES;

  CREATE TABLE change_log (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision  bigint UNIQUE,
    kind      text NOT NULL,
    entity_id text NOT NULL
  );

  CREATE FUNCTION assign_revision() RETURNS trigger LANGUAGE plpgsql AS $$
  DECLARE
    next bigint;
  BEGIN
    UPDATE feed_head SET revision = revision + 1 RETURNING revision INTO next;
    UPDATE change_log SET revision = next WHERE id = NEW.id;
    RETURN NULL;
  END $$;

  CREATE CONSTRAINT TRIGGER assign_revision AFTER INSERT ON change_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION assign_revision();
`;

export const changeLogDown = `
  DROP TABLE change_log;
  DROP FUNCTION assign_revision;
  DROP TABLE feed_head;
`;
