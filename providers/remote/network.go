package remote

import (
	"context"
	"iter"

	"github.com/computekit/compute"
)

// onPort is an operation on a port that can be tried again.
func (a sandboxAbilities) onPort(ctx context.Context, op, action string, port int, subdomain string) (*compute.Response, error) {
	req := a.request(action)
	req.Port, req.Subdomain = port, subdomain
	return a.ask(ctx, op, req)
}

// Endpoint implements [compute.Endpointer].
func (a sandboxAbilities) Endpoint(ctx context.Context, port int) (*compute.Endpoint, error) {
	resp, err := a.onPort(ctx, "get endpoint", "url.endpoint", port, "")
	if err != nil {
		return nil, err
	}
	if resp.Endpoint == nil {
		return nil, a.incomplete(call{op: "get endpoint", id: a.id})
	}
	return resp.Endpoint, nil
}

// OpenURL implements [compute.URLOpener].
func (a sandboxAbilities) OpenURL(ctx context.Context, port int, opts *compute.URLOptions) (string, error) {
	subdomain := ""
	if opts != nil {
		subdomain = opts.Subdomain
	}
	resp, err := a.onPort(ctx, "open url", "url.open", port, subdomain)
	if err != nil {
		return "", err
	}
	return resp.URL, nil
}

// ListURLs implements [compute.URLLister].
func (a sandboxAbilities) ListURLs(ctx context.Context) iter.Seq2[compute.PortURL, error] {
	do := call{op: "list urls", id: a.id, req: a.request("url.list")}
	return list(ctx, a.client, do, func(resp *compute.Response) []compute.PortURL { return resp.URLs })
}

// CloseURL implements [compute.URLCloser].
func (a sandboxAbilities) CloseURL(ctx context.Context, port int) error {
	_, err := a.onPort(ctx, "close url", "url.close", port, "")
	return err
}

// SSH implements [compute.SSHer]. The address is the far end's: it may not be
// reachable from here.
func (a sandboxAbilities) SSH(ctx context.Context) (*compute.SSHAccess, error) {
	resp, err := a.ask(ctx, "ssh", a.request("ssh"))
	if err != nil {
		return nil, err
	}
	if resp.SSH == nil {
		return nil, a.incomplete(call{op: "ssh", id: a.id})
	}
	return resp.SSH, nil
}

// SetNetworkPolicy implements [compute.NetworkPolicer].
func (a sandboxAbilities) SetNetworkPolicy(ctx context.Context, p *compute.NetworkPolicy) error {
	req := a.request("network.set")
	req.Options.Network = p
	_, err := a.ask(ctx, "set network policy", req)
	return err
}
