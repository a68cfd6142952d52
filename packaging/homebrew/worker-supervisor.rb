# Homebrew's formula. scripts/dist.sh puts in the version, the address and the sums of a release.
#
# There is no `service do`, on purpose: `worker-supervisor launchd install` writes a job that knows the config's drain time,
# name, paths and logs, waits until it runs, and explains what launchd refuses. `brew services` could do none of it, and a
# second job for the same config would wait for the first.
class WorkerSupervisor < Formula
  desc "Keeps one worker alive: restarts, health checks, registration, drain"
  homepage "@ADDRESS@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    url "@ADDRESS@/releases/download/v@VERSION@/worker-supervisor-@VERSION@-universal-apple-darwin.tar.gz"
    sha256 "@SHA256 universal-apple-darwin@"
  end

  on_linux do
    on_intel do
      url "@ADDRESS@/releases/download/v@VERSION@/worker-supervisor-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256 x86_64-unknown-linux-musl@"
    end
    on_arm do
      url "@ADDRESS@/releases/download/v@VERSION@/worker-supervisor-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256 aarch64-unknown-linux-musl@"
    end
  end

  def install
    bin.install "worker-supervisor"
    man1.install "worker-supervisor.1"
    bash_completion.install "completions/worker-supervisor.bash" => "worker-supervisor"
    zsh_completion.install "completions/_worker-supervisor"
    fish_completion.install "completions/worker-supervisor.fish"
    pkgshare.install "examples", "schema"
    # Where `init` looks for it, to name it in the config that it writes.
    pkgshare.install_symlink pkgshare/"schema/worker-supervisor.schema.json"
  end

  def caveats
    <<~EOS
      Write ~/.config/worker-supervisor.toml, or let `worker-supervisor init` do it (examples are in
      #{opt_pkgshare}/examples), then:
        worker-supervisor --dry-run
        worker-supervisor launchd install
      There is no `brew services` for it: launchd install does what that would, and more.
    EOS
  end

  test do
    assert_equal "worker-supervisor #{version}\n", shell_output("#{bin}/worker-supervisor --version")
    config = (pkgshare/"examples/minimal.toml").read.sub(/^command = .*/, 'command = ["sleep", "60"]')
    config = config.sub(/^port = .*/, "port = #{free_port}")
    (testpath/"worker.toml").write config
    assert_match "ok    program", shell_output("#{bin}/worker-supervisor --config worker.toml --dry-run")
  end
end
