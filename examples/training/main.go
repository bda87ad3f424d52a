// Training fits a model in a sandbox, reads what the training reports, and asks
// the model for a prediction.
//
//	go run ./examples/training
//
// It fits a random forest where the sandbox has scikit-learn, and otherwise a
// logistic regression written out in the script: then it says so. On Debian
// scikit-learn is python3-sklearn; a sandbox of the local provider has what
// this machine has.
package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/computekit/compute"

	_ "github.com/computekit/compute/providers/local"
)

//go:embed *.py
var scripts embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "local://"), os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, out io.Writer) (err error) {
	c, err := compute.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	return compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		if err := compute.CopyFS(ctx, sb.Filesystem(), "/app", scripts); err != nil {
			return err
		}
		python, err := sb.RunCommand(ctx, compute.Exec("python3", "--version"))
		if err != nil {
			return err
		}
		if python.ExitCode == 127 {
			fmt.Fprintln(out, "the sandbox has no python3: nothing to show")
			return nil
		}
		if err := train(ctx, sb, out); err != nil {
			return err
		}
		return predict(ctx, sb, out)
	})
}

// report is what train.py writes beside the model.
type report struct {
	Model    string             `json:"model"`
	Accuracy float64            `json:"accuracy"`
	Samples  int                `json:"samples"`
	Weights  map[string]float64 `json:"weights"`
}

func train(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	cmd := &compute.Command{Args: []string{"python3", "train.py"}, Dir: "/app", Stdout: out}
	res, err := sb.RunCommand(ctx, cmd)
	if err != nil {
		return err
	}
	if err := res.Err(); err != nil {
		return err
	}
	data, err := sb.Filesystem().ReadFile(ctx, "/app/report.json")
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	fmt.Fprintf(out, "trained a %s on %d samples in %s: %.1f %% right\n", r.Model, r.Samples, res.Duration.Round(1e6), 100*r.Accuracy)
	return nil
}

func predict(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	for _, applicant := range [][]string{{"52000", "710", "0.20"}, {"21000", "480", "0.65"}} {
		args := append([]string{"python3", "/app/predict.py"}, applicant...)
		answer, err := compute.Output(ctx, sb, &compute.Command{Args: args, Dir: "/app"})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "income, score, debts %v: %s", applicant, answer)
	}
	return nil
}
