package compute

// One mock for each interface that callers of this package depend on: the
// portable API, and the abilities listed in capability.go in the same order.

//go:generate go tool -modfile=tools/go.mod mockgen -typed -write_command_comment=false -write_package_comment=false -package=mocks -destination=mocks/mocks.go . Compute,Sandbox,Filesystem,Process,Runner,ShellSession,TemplateLogger,Volumes,Starter,ProcessGetter,ProcessLister,ShellOpener,Suspender,Waiter,Extender,MetadataUpdater,EventWatcher,UsageReporter,Rollbacker,Dialer,Endpointer,URLOpener,URLLister,URLCloser,SSHer,NetworkPolicer,FileOpener,FileCreator,Renamer,Archiver,FileWatcher,Signaler,StdinOpener,Resizer
