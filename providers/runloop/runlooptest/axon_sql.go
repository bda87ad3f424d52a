package runlooptest

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxSQLRows       = 10000 // of a result
	maxSQLStatements = 1000  // of a batch
	sqlTimeout       = 25 * time.Second
)

func (e *Emulator) routeSQL() {
	handle(e, "POST /v1/axons/{id}/sql/query", "axons.sql_query", e.sqlQuery)
	handle(e, "POST /v1/axons/{id}/sql/batch", "axons.sql_batch", e.sqlBatch)
}

// sqlStatement is runloopapi.SQLStatement with the parameters as they came: an
// integer must not become a fraction.
type sqlStatement struct {
	SQL    string            `json:"sql"`
	Params []json.RawMessage `json:"params"`
}

// args returns the parameters for a driver.
func (s *sqlStatement) args() ([]any, error) {
	args := make([]any, len(s.Params))
	for i, raw := range s.Params {
		var v any
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return nil, fail(http.StatusBadRequest, "params: %v", err)
		}
		switch v := v.(type) {
		case nil, string, bool:
			args[i] = v
		case json.Number:
			if n, err := v.Int64(); err == nil {
				args[i] = n
			} else if f, err := v.Float64(); err == nil {
				args[i] = f
			} else {
				return nil, fail(http.StatusBadRequest, "params: %s is out of range", v)
			}
		default:
			return nil, fail(http.StatusBadRequest, "params: only null, booleans, numbers and strings can be parameters")
		}
	}
	return args, nil
}

// check reports whether a statement may run. It must not get at the files of this
// machine.
func (s *sqlStatement) check() error {
	if strings.TrimSpace(s.SQL) == "" {
		return fail(http.StatusBadRequest, "sql must not be empty")
	}
	for _, word := range sqlWords(s.SQL) {
		if slices.Contains([]string{"attach", "vacuum", "load_extension", "readfile", "writefile"}, word) {
			return fail(http.StatusBadRequest, "%s is not allowed: a store has no other files", strings.ToUpper(word))
		}
	}
	return nil
}

// sqlWords returns the bare words of a statement in small letters: not what is in
// quotes or comments.
func sqlWords(s string) []string {
	var words []string
	ends := map[byte]string{'\'': "'", '"': `"`, '`': "`", '[': "]"}
	for i := 0; i < len(s); {
		end, skip := "", 1
		switch {
		case ends[s[i]] != "":
			end = ends[s[i]] // a doubled quote is two strings side by side
		case strings.HasPrefix(s[i:], "--"):
			end, skip = "\n", 2
		case strings.HasPrefix(s[i:], "/*"):
			end, skip = "*/", 2
		}
		if end != "" {
			n := strings.Index(s[i+skip:], end)
			if n < 0 {
				return words
			}
			i += skip + n + len(end)
			continue
		}
		n := 0
		for i+n < len(s) && wordByte(s[i+n]) {
			n++
		}
		if n > 0 {
			words = append(words, strings.ToLower(s[i:i+n]))
		}
		i += max(n, 1)
	}
	return words
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// openStore returns the store of an axon, which is opened when it is first used.
func (e *Emulator) openStore(a *axon) (*sql.DB, error) {
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	if a.closed {
		return nil, fail(http.StatusNotFound, "axon %q not found", a.view.ID)
	}
	if a.store != nil {
		return a.store, nil
	}
	open := e.opts.openSQL
	if open == nil && slices.Contains(sql.Drivers(), "sqlite") {
		open = func() (*sql.DB, error) { return sql.Open("sqlite", ":memory:") }
	}
	if open == nil {
		return nil, unsupported("SQL: the program links no database driver named sqlite, and has none given with WithSQL")
	}
	db, err := open()
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // each connection to :memory: is another database
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	db.SetConnMaxIdleTime(0)
	a.store = db
	return db, nil
}

// closeStore closes the store, and keeps it from being opened again.
func (a *axon) closeStore() error {
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	a.closed = true
	if a.store == nil {
		return nil
	}
	db := a.store
	a.store = nil
	return db.Close()
}

// withStore runs f with the one connection to the store of the axon that a request
// names. Statements that run too long are interrupted.
func (e *Emulator) withStore(c *call, f func(ctx context.Context, conn *sql.Conn) error) error {
	e.mu.Lock()
	a, err := e.pathAxon(c)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	db, err := e.openStore(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), sqlTimeout)
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, conn)
}

func (e *Emulator) sqlQuery(c *call, in *sqlStatement) (*runloopapi.SQLResult, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	var result *runloopapi.SQLResult
	err := e.withStore(c, func(ctx context.Context, conn *sql.Conn) (err error) {
		result, err = runSQL(ctx, conn, in)
		return sqlFailure(err)
	})
	return result, err
}

// sqlFailure is the answer to a statement that failed.
func sqlFailure(err error) error {
	if err == nil || asAPIError(err).status != http.StatusInternalServerError {
		return err
	}
	return fail(http.StatusBadRequest, "%v", err)
}

// sqlBatch runs statements in one transaction. When one fails, all is as it was
// before: those after it are not run.
func (e *Emulator) sqlBatch(c *call, in *struct {
	Statements []sqlStatement `json:"statements"`
}) (*runloopapi.SQLBatchResult, error) {
	if len(in.Statements) == 0 || len(in.Statements) > maxSQLStatements {
		return nil, fail(http.StatusBadRequest, "statements must be from 1 to %d", maxSQLStatements)
	}
	for i := range in.Statements {
		if err := in.Statements[i].check(); err != nil {
			return nil, err
		}
	}
	out := &runloopapi.SQLBatchResult{Results: make([]runloopapi.SQLStepResult, len(in.Statements))}
	err := e.withStore(c, func(ctx context.Context, conn *sql.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		for i := range in.Statements {
			step := &out.Results[i]
			if step.Success, err = runSQL(ctx, tx, &in.Statements[i]); err != nil {
				step.Error = &runloopapi.SQLError{Message: err.Error()}
				for j := i + 1; j < len(out.Results); j++ {
					out.Results[j].Error = &runloopapi.SQLError{Message: "not run: a statement before it failed"}
				}
				return nil
			}
		}
		return tx.Commit()
	})
	if err != nil {
		return nil, sqlFailure(err)
	}
	return out, nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// runSQL runs one statement.
func runSQL(ctx context.Context, q querier, s *sqlStatement) (*runloopapi.SQLResult, error) {
	args, err := s.args()
	if err != nil {
		return nil, err
	}
	const changes = "SELECT total_changes()"
	var before, after int64
	start := time.Now()
	if err := q.QueryRowContext(ctx, changes).Scan(&before); err != nil {
		return nil, err
	}
	result, err := readSQL(ctx, q, s.SQL, args)
	if err != nil {
		return nil, err
	}
	if err := q.QueryRowContext(ctx, changes).Scan(&after); err != nil {
		return nil, err
	}
	result.Meta.Changes = after - before
	result.Meta.DurationMS = float64(time.Since(start)) / float64(time.Millisecond)
	return result, nil
}

func readSQL(ctx context.Context, q querier, text string, args []any) (_ *runloopapi.SQLResult, err error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	result := &runloopapi.SQLResult{Columns: make([]runloopapi.SQLColumn, len(types)), Rows: []runloopapi.SQLRow{}}
	for i, t := range types {
		result.Columns[i] = runloopapi.SQLColumn{Name: t.Name(), Type: strings.ToUpper(t.DatabaseTypeName())}
	}
	for rows.Next() {
		if len(result.Rows) == maxSQLRows {
			result.Meta.RowsReadLimitReached = true
			break
		}
		row := make(runloopapi.SQLRow, len(types))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i := range row {
			row[i] = sqlValue(row[i])
		}
		result.Rows = append(result.Rows, row)
	}
	return result, rows.Err()
}

// sqlValue returns a value of a driver as JSON can have it. Blobs are in base 64.
func sqlValue(v any) any {
	switch v := v.(type) {
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil
		}
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return v
}
