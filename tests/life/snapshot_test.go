package life

import (
	"strings"
	"testing"
	"time"
)

// TestTheSnapshotIsWhatMigratingFromNothingMakes compares a database that was
// filled with one that was migrated from nothing, by the same image: it leaves
// the snapshot alone because there is a table, of somebody else's.
func TestTheSnapshotIsWhatMigratingFromNothingMakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	w.sql(postgres, "netbox", "create database migrated")
	w.sql(postgres, "migrated", "create schema theirs", "create table theirs.precious (answer integer)", "insert into theirs.precious values (42)")

	// The web server alone, and no superuser: whatever writes rows later is
	// not part of what is compared.
	quiet := map[string]string{"NETBOX_ROLE": "web", "SUPERUSER_PASSWORD": ""}
	filled := w.netbox(quiet)
	w.up(filled, "/login/")
	if !strings.Contains(said(filled), "filling the empty database") {
		t.Error("the snapshot was not used")
	}
	w.stop(filled)

	quiet["DB_NAME"] = "migrated"
	// The order in which Django meets applications of equal rank, and with it
	// the numbers that rows get, follows from Python's hashes: here as where
	// the snapshot is made.
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
