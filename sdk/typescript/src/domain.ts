// A domain that an account brings with it.

import type { HttpClient, RequestOptions } from "./http.js";

export type DomainStatus = "pending_verification" | "verified" | "failed";
export type DnsRecordType = "TXT" | "MX" | "CNAME";

export interface DnsRecord {
  type: DnsRecordType;
  host: string;
  value: string;
  priority?: number;
}

export interface DomainData {
  id: string;
  domain: string;
  status: DomainStatus;
  dnsRecords: DnsRecord[];
  createdAt: string;
}

export class Domain {
  readonly id: string;
  readonly domain: string;
  readonly status: DomainStatus;
  /** What has to be published in the domain. */
  readonly dnsRecords: DnsRecord[];
  readonly createdAt: string;
  #http: HttpClient;

  constructor(data: DomainData, http: HttpClient) {
    this.id = data.id;
    this.domain = data.domain;
    this.status = data.status;
    this.dnsRecords = data.dnsRecords;
    this.createdAt = data.createdAt;
    this.#http = http;
  }

  /** Looks the records up now. */
  async verify(options?: RequestOptions): Promise<Domain> {
    return new Domain(await this.#post("verify", options), this.#http);
  }

  /** New keys beside the old ones, with their records. */
  async rotateDkimKeys(options?: RequestOptions): Promise<Domain> {
    return new Domain(await this.#post("dkim/rotate", options), this.#http);
  }

  /** The records as a zone file. */
  async zone(options?: RequestOptions): Promise<string> {
    return (await this.#http.send("GET", `/v1/domains/${this.id}/zone`, options)).text();
  }

  #post(what: string, options?: RequestOptions): Promise<DomainData> {
    return this.#http.post(`/v1/domains/${this.id}/${what}`, undefined, options);
  }
}
