package runloopapi

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// SQLStatement is one statement in the dialect of SQLite. A ? in it takes the next parameter.
type SQLStatement struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params,omitempty"`
}

// SQLBatchParams are statements that run in one transaction.
type SQLBatchParams struct {
	Statements []SQLStatement `json:"statements"`
}

// SQLColumn is a column of a result.
type SQLColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// SQLRow is a row of a result, in the order of its columns. A value is nil, a string, a bool, or a json.Number, which
// keeps an integer of 64 bits whole.
type SQLRow []any

// SQLMeta says what a statement did.
type SQLMeta struct {
	DurationMS           float64 `json:"duration_ms"`
	Changes              int64   `json:"changes"`
	RowsReadLimitReached bool    `json:"rows_read_limit_reached"` // rows are missing
}

// SQLResult is what a statement returned.
type SQLResult struct {
	Columns []SQLColumn `json:"columns"`
	Rows    []SQLRow    `json:"rows"`
	Meta    SQLMeta     `json:"meta"`
}

// UnmarshalJSON decodes a result. Its rows may be arrays, as the service sends them, or objects by column name, as its
// document says.
func (r *SQLResult) UnmarshalJSON(data []byte) error {
	var wire struct {
		Columns []SQLColumn       `json:"columns"`
		Rows    []json.RawMessage `json:"rows"`
		Meta    SQLMeta           `json:"meta"`
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	if len(wire.Columns)*len(wire.Rows) > len(data) { // an object has all columns, however short it is
		return fmt.Errorf("%d rows of %d columns do not fit into %d bytes", len(wire.Rows), len(wire.Columns), len(data))
	}
	rows := make([]SQLRow, len(wire.Rows))
	for i, raw := range wire.Rows {
		row, err := decodeSQLRow(raw, wire.Columns)
		if err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
		rows[i] = row
	}
	*r = SQLResult{Columns: wire.Columns, Rows: rows, Meta: wire.Meta}
	return nil
}

func decodeSQLRow(raw json.RawMessage, columns []SQLColumn) (SQLRow, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		var byName map[string]any
		if err := dec.Decode(&byName); err != nil {
			return nil, err
		}
		row := make(SQLRow, len(columns))
		for i, column := range columns {
			row[i] = byName[column.Name]
		}
		return row, nil
	}
	var row SQLRow
	if err := dec.Decode(&row); err != nil {
		return nil, err
	}
	return row, nil
}

// SQLError says why a statement of a batch failed.
type SQLError struct {
	Message string `json:"message"`
}

// SQLStepResult is the result of one statement of a batch: one field is set.
type SQLStepResult struct {
	Success *SQLResult `json:"success,omitempty"`
	Error   *SQLError  `json:"error,omitempty"`
}

// SQLBatchResult has one result for each statement of a batch.
type SQLBatchResult struct {
	Results []SQLStepResult `json:"results"`
}
