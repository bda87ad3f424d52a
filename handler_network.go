package compute

import "context"

func openURL(ctx context.Context, x *exchange, sb Sandbox) (err error) {
	x.resp.URL, err = OpenURL(ctx, sb, x.req.Port, &URLOptions{Subdomain: x.req.Subdomain})
	return err
}

func listURLs(ctx context.Context, x *exchange, sb Sandbox) (err error) {
	x.resp.URLs, err = collectAll(ListURLs(ctx, sb), x.req.Options.Limit)
	return err
}

func closeURL(ctx context.Context, x *exchange, sb Sandbox) error {
	return CloseURL(ctx, sb, x.req.Port)
}

func getEndpoint(ctx context.Context, x *exchange, sb Sandbox) (err error) {
	x.resp.Endpoint, err = GetEndpoint(ctx, sb, x.req.Port)
	return err
}

// setNetwork sets the provider's default if the request names no policy.
func setNetwork(ctx context.Context, x *exchange, sb Sandbox) error {
	return SetNetworkPolicy(ctx, sb, x.req.Options.Network)
}

func openSSH(ctx context.Context, x *exchange, sb Sandbox) (err error) {
	x.resp.SSH, err = SSH(ctx, sb)
	return err
}
