// What kafkajs loads at its start and uses only for TCP, TLS, SCRAM and gzip.
module.exports = {
  promisify: (f) => f,
  format: (...parts) => parts.join(' '),
};
