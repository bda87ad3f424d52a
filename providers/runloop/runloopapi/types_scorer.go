package runloopapi

import "encoding/json"

// The types of scorers, as ScorerSpec.Type returns them.
const (
	ScorerTypeASTGrep      = "ast_grep_scorer"
	ScorerTypeBashScript   = "bash_script_scorer"
	ScorerTypeCommand      = "command_scorer"
	ScorerTypeCustom       = "custom_scorer"
	ScorerTypePythonScript = "python_script_scorer"
	ScorerTypeTestBased    = "test_based_scorer"
)

// ScorerSpec is a scorer of a scenario. Exactly one field is set.
type ScorerSpec struct {
	ASTGrep      *ASTGrepScorer
	BashScript   *BashScriptScorer
	Command      *CommandScorer
	Custom       *CustomScorer
	PythonScript *PythonScriptScorer
	TestBased    *TestBasedScorer

	Unknown json.RawMessage // a scorer of a type this package does not know, as it was received
}

// ASTGrepScorer looks for a pattern in the syntax trees of the files under a directory.
type ASTGrepScorer struct {
	Pattern         string `json:"pattern"`
	SearchDirectory string `json:"search_directory"`
	Lang            string `json:"lang,omitempty"`
}

// BashScriptScorer runs a script whose last line of output is the score, a number from 0 to 1.
type BashScriptScorer struct {
	BashScript string `json:"bash_script,omitempty"`
}

// CommandScorer runs a command: the score is 1 when it succeeds.
type CommandScorer struct {
	Command string `json:"command,omitempty"`
}

// CustomScorer runs a scorer of the account, with parameters of any JSON.
type CustomScorer struct {
	Type   string          `json:"custom_scorer_type"`
	Params json.RawMessage `json:"scorer_params,omitempty"`
}

// PythonScriptScorer runs a script whose last line of output is the score, a number from 0 to 1.
type PythonScriptScorer struct {
	PythonScript      string `json:"python_script"`
	VersionConstraint string `json:"python_version_constraint,omitempty"`
	Requirements      string `json:"requirements_contents,omitempty"` // a requirements.txt
}

// TestBasedScorer writes files and runs a command: the score is 1 when it succeeds.
type TestBasedScorer struct {
	TestCommand string     `json:"test_command,omitempty"`
	TestFiles   []TestFile `json:"test_files,omitempty"`
}

// TestFile is a file that a test needs.
type TestFile struct {
	Path     string `json:"file_path,omitempty"`
	Contents string `json:"file_contents,omitempty"`
}

func (s *ScorerSpec) variants() []variant {
	return []variant{
		{ScorerTypeASTGrep, s.ASTGrep, s.ASTGrep != nil},
		{ScorerTypeBashScript, s.BashScript, s.BashScript != nil},
		{ScorerTypeCommand, s.Command, s.Command != nil},
		{ScorerTypeCustom, s.Custom, s.Custom != nil},
		{ScorerTypePythonScript, s.PythonScript, s.PythonScript != nil},
		{ScorerTypeTestBased, s.TestBased, s.TestBased != nil},
	}
}

// Type returns the scorer's type as it is on the wire, and "" for a scorer that is not set.
func (s ScorerSpec) Type() string {
	found, err := chosen("scorer", s.variants())
	if err != nil {
		return unknownType(s.Unknown)
	}
	return found.name
}

// MarshalJSON encodes the field that is set, and fails unless exactly one is.
func (s ScorerSpec) MarshalJSON() ([]byte, error) {
	return marshalUnion("scorer", s.Unknown, s.variants())
}

// UnmarshalJSON decodes a scorer of any type; one of an unknown type is kept in Unknown.
func (s *ScorerSpec) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	name, err := unionType(data)
	if err != nil {
		return err
	}
	*s = ScorerSpec{}
	switch name {
	case ScorerTypeASTGrep:
		return json.Unmarshal(data, &s.ASTGrep)
	case ScorerTypeBashScript:
		return json.Unmarshal(data, &s.BashScript)
	case ScorerTypeCommand:
		return json.Unmarshal(data, &s.Command)
	case ScorerTypeCustom:
		return json.Unmarshal(data, &s.Custom)
	case ScorerTypePythonScript:
		return json.Unmarshal(data, &s.PythonScript)
	case ScorerTypeTestBased:
		return json.Unmarshal(data, &s.TestBased)
	}
	s.Unknown = append(json.RawMessage(nil), data...)
	return nil
}

// ScorerParams are a scorer of the account: a script that scenarios call by its type.
type ScorerParams struct {
	Type       string `json:"type"` // letters, digits, _ and -; unique in the account
	BashScript string `json:"bash_script"`
}

// ScorerView is a scorer of the account as the service describes it.
type ScorerView struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	BashScript string `json:"bash_script"`
}

// ScorerListView is one page of scorers.
type ScorerListView struct {
	Scorers []ScorerView `json:"scorers"`
	PageInfo
}
