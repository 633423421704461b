"""What kafka-python's fixtures call `test.service`, which its source distribution leaves out: a broker that somebody
else runs."""


class ExternalService:
    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass


class SpawnedService:
    def __init__(self, args=None, env=None):
        raise RuntimeError('these tests start no broker')
