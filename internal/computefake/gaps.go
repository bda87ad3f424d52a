package computefake

// StubGaps returns the checks of the conformance suite that the stub provider
// does not pass by itself yet, for the tests of what is wrapped around it, which
// are not about them.
func StubGaps() map[string]string {
	gaps := map[string]string{}
	for _, check := range []string{
		"NothingIsDroppedInSilence/ImpossibleOptions", "NothingIsDroppedInSilence/CommandTTY",
		"NamesAreHostile/ScriptsAreRunAsTheyStand", "TheContextIsTheOnlyTimeout/StdinThatFails",
		"ErrorsAreTyped/DestroyedSandboxAbilities", "ErrorsAreTyped/NoSecrets", "SafeForConcurrentUse/OneFile",
		"Processes/Signal", "Shells/Close", "Terminal/Size", "Terminal/Resize",
	} {
		gaps[check] = "the stub's own"
	}
	return gaps
}
