package runloopapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"testing/fstest"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// A blueprint is built from a Dockerfile and a directory, and its log is shown while that goes on.
func ExampleClient_NewBlueprint() {
	client, done := newClient()
	defer done()
	ctx := context.Background()

	app := fstest.MapFS{"main.py": {Data: []byte("print(1)")}} // or os.DirFS("app")
	blueprint, err := client.NewBlueprint(ctx, &runloopapi.BlueprintCreateParams{
		Name:       "app",
		Dockerfile: "FROM python:3.13-slim\nCOPY . /app\n",
	}, runloopapi.WithBuildContext(app, ".git", "**/*.pyc"), runloopapi.WithBuildLogs(os.Stdout))

	var failed *runloopapi.BuildError
	if errors.As(err, &failed) {
		log.Fatalf("%s: the last of %d lines above says why", failed.Blueprint.Name, len(failed.LogTail))
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(blueprint.ID)
	// Output:
	// COPY . /app
	// bpt_1
}

// Text is stored, and mounted in a devbox.
func ExampleClient_UploadText() {
	client, done := newClient()
	defer done()
	ctx := context.Background()

	object, err := client.UploadText(ctx, &runloopapi.ObjectCreateParams{
		Name: "greeting.txt", TTLMS: (24 * time.Hour).Milliseconds(),
	}, "Hello")
	if err != nil {
		log.Fatal(err)
	}
	err = client.WithDevbox(ctx, &runloopapi.DevboxCreateParams{
		Mounts: []runloopapi.Mount{object.Mount("/home/user/greeting.txt")},
	}, func(_ context.Context, devbox *runloopapi.Devbox) error {
		fmt.Println(object.ID, "is in", devbox.ID)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: obj_1 is in dbx_1
}

// A file is stored, and mounted in a devbox.
func ExampleClient_UploadFile() {
	ctx := context.Background()
	client, err := runloopapi.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	object, err := client.UploadFile(ctx, &runloopapi.ObjectCreateParams{TTLMS: 24 * 60 * 60 * 1000}, "data.csv")
	if err != nil {
		log.Fatal(err)
	}
	err = client.WithDevbox(ctx, &runloopapi.DevboxCreateParams{
		Mounts: []runloopapi.Mount{object.Mount("/home/user/data.csv")},
	}, func(_ context.Context, devbox *runloopapi.Devbox) error {
		fmt.Println(devbox.ID)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// The events of an axon are read until one says that the work is done.
func ExampleAxon_Subscribe() {
	client, done := newClient()
	defer done()
	ctx := context.Background()

	for event, err := range client.Axon("axn_1").Subscribe(ctx, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Sequence, event.EventType, event.Payload)
		if event.EventType == "done" {
			break
		}
	}
	// Output:
	// 1 note begun
	// 2 done
}

// Build shows what Push would send: the weights of the scorers add up to 1.
func ExampleScenarioBuilder() {
	client, err := runloopapi.New(runloopapi.WithAPIKey("ak_123"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	params, err := client.NewScenarioBuilder("fix-login").
		FromBlueprint(client.Blueprint("bpt_123")).
		WithProblemStatement("Users with a + in their address cannot log in. Mend it.").
		AddTestBasedScorer("tests", 3, runloopapi.TestBasedScorer{TestCommand: "go test ./..."}).
		AddCommandScorer("vet", 1, "go vet ./...").
		Build()
	if err != nil {
		log.Fatal(err)
	}
	out, err := json.MarshalIndent(params.ScoringContract, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
	// Output:
	// {
	//   "scoring_function_parameters": [
	//     {
	//       "name": "tests",
	//       "weight": 0.75,
	//       "scorer": {
	//         "type": "test_based_scorer",
	//         "test_command": "go test ./..."
	//       }
	//     },
	//     {
	//       "name": "vet",
	//       "weight": 0.25,
	//       "scorer": {
	//         "type": "command_scorer",
	//         "command": "go vet ./..."
	//       }
	//     }
	//   ]
	// }
}

// A run of a scenario: an agent works in the devbox, then the run is scored.
func ExampleScenario_Run() {
	client, done := newClient()
	defer done()
	ctx := context.Background()

	run, err := client.Scenario("scn_1").Run(ctx, &runloopapi.ScenarioRunParams{Name: "first try"})
	if err != nil {
		log.Fatal(err)
	}
	devbox, err := run.Devbox(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("let the agent work in", devbox.ID)

	view, err := run.ScoreAndComplete(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(view.ScoringContractResult.Score)
	// Output:
	// let the agent work in dbx_1
	// 0.75
}

// A secret reaches the endpoint of a gateway, and never the devbox.
func ExampleGatewayConfig_Spec() {
	ctx := context.Background()
	client, err := runloopapi.New()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	gateway, err := client.NewGatewayConfig(ctx, &runloopapi.GatewayConfigCreateParams{
		Name: "billing", Endpoint: "https://billing.example.com",
		AuthMechanism: runloopapi.AuthMechanism{Type: runloopapi.AuthBearer},
	})
	if err != nil {
		log.Fatal(err)
	}
	params := &runloopapi.DevboxCreateParams{
		Gateways: map[string]runloopapi.GatewaySpec{"BILLING": gateway.Spec("billing-token")},
	}
	devbox, err := client.NewDevbox(ctx, params) // which has BILLING_URL and BILLING
	if err != nil {
		log.Fatal(err)
	}
	defer devbox.Close()
}
