package life

import (
	"strings"
	"testing"
	"time"
)

// TestTheSnapshotIsWhatMigratingFromNothingMakes compares a database loaded from the
// snapshot with one that the same image migrated from nothing. The image does not use the
// snapshot for the second, because that already contains another table.
func TestTheSnapshotIsWhatMigratingFromNothingMakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	w.sql(postgres, "netbox", "create database migrated")
	w.sql(postgres, "migrated", "create schema theirs", "create table theirs.precious (answer integer)", "insert into theirs.precious values (42)")

	// Only the web server runs, without a superuser: rows written later are not part of the
	// comparison.
	quiet := map[string]string{"NETBOX_ROLE": "web", "SUPERUSER_PASSWORD": ""}
	filled := w.netbox(quiet)
	w.up(filled, "/login/")
	if !strings.Contains(said(filled), "filling the empty database") {
		t.Error("the snapshot was not used")
	}
	w.stop(filled)

	quiet["DB_NAME"] = "migrated"
	// Python's hash seed determines the order in which Django visits applications of equal
	// rank, and thus the IDs of rows. The build of the snapshot uses the same seed.
	quiet["PYTHONHASHSEED"] = "0"
	migrated := w.netbox(quiet)
	w.logged(migrated, "the database is ready", 45*time.Minute)
	t.Logf("migrated from nothing after %.0f s", time.Since(migrated.Started()).Seconds())
	w.up(migrated, "/login/")
	if strings.Contains(said(migrated), "filling") {
		t.Error("the snapshot was loaded into a database that holds a table")
	}
	if got := w.sql(postgres, "migrated", "select answer from theirs.precious"); got != "42" {
		t.Errorf("the table of somebody else's holds %q", got)
	}

	snapshot, plain := w.dump(postgres, "netbox"), w.dump(postgres, "migrated", "--exclude-schema=theirs")
	if lines := strings.Count(plain, "\n"); lines < 10_000 || !strings.Contains(plain, "COPY public.django_migrations") {
		t.Fatalf("the dump of the migrated database has %d lines: that is no NetBox", lines)
	}
	if differences := diff(plain, snapshot); len(differences) > 0 {
		t.Errorf("%d lines differ (-1: only from migrating, +1: only from the snapshot):\n%s",
			len(differences), strings.Join(differences[:min(60, len(differences))], "\n"))
	}
	w.stop(migrated)
}
