#!/bin/sh
# The database of the sandbox: PostgreSQL, which wants a user other than root, or else SQLite.
#
#	db.sh kind     which one it is, and its version; "none" if there is none
#	db.sh start    start it, unless it runs; make it, unless it is there
#	db.sh sql      run the statements of the input and print the rows
set -eu
data=/var/lib/notes

postgres_bin() {
	for initdb in /usr/lib/postgresql/*/bin/initdb /usr/bin/initdb /usr/local/bin/initdb; do
		[ -x "$initdb" ] && dirname "$initdb" && return
	done
	return 1
}
as_other() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$data" "$@"; }

if bin=$(postgres_bin) && as_other true 2>/dev/null; then
	engine=postgres
elif command -v sqlite3 >/dev/null; then
	engine=sqlite3
elif python3 -c 'import sqlite3' 2>/dev/null; then
	engine=python
else
	engine=none
fi

sql() {
	case $engine in
	postgres) as_other "$bin/psql" -h "$data" -U notes -d postgres -XAtq -v ON_ERROR_STOP=1 ;;
	sqlite3) sqlite3 -bail "$data/notes.db" ;;
	python) python3 -c '
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.stdin.read().split(";"):
    for row in db.execute(statement):
        print(*row, sep="|")' "$data/notes.db" ;;
	*) echo "there is no database" >&2 && exit 1 ;;
	esac
}

start() {
	mkdir -p "$data"
	[ $engine = postgres ] || return 0
	chown 65534:65534 "$data"
	[ -e "$data/pg/PG_VERSION" ] || as_other "$bin/initdb" -D "$data/pg" -U notes -A trust -E UTF8 --locale=C >"$data.log"
	if echo 'SELECT 1' | sql >/dev/null 2>&1; then return; fi
	rm -f "$data/pg/postmaster.pid" # of a process that has ended with the sandbox
	as_other "$bin/pg_ctl" -D "$data/pg" -l "$data/log" -o "-k $data -c listen_addresses=''" -w start >/dev/null
}

case $1 in
kind)
	case $engine in
	postgres) "$bin/postgres" --version ;;
	sqlite3) echo "SQLite $(sqlite3 --version | cut -d' ' -f1), by its command: PostgreSQL is not here, or the sandbox has no user but root" ;;
	python) echo "SQLite $(python3 -c 'import sqlite3; print(sqlite3.sqlite_version)'), by Python: PostgreSQL is not here, or the sandbox has no user but root" ;;
	*) echo none ;;
	esac ;;
start) start ;;
sql) sql ;;
esac
